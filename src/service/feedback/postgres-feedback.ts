/** Feedback in a table of Postgres: lorakeet's own, shared by any number of machines, or one that another application writes. */

import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  POSTGRES_OPTIONS,
  PostgresDatabase,
  type PostgresOptions,
  type Query,
} from '../../stores/postgres/database.js';
import { AppendQueue, closedError } from './append-queue.js';
import {
  type Feedback,
  type FeedbackInput,
  intentOf,
  type JsonObject,
  projectOf,
  requireFeedbackList,
} from './feedback.js';
import {
  type AppendedFeedback,
  cursorOf,
  type FeedbackCounts,
  type FeedbackPage,
  type FeedbackStore,
  type FeedbackWindow,
  readFeedback,
  requirePageOptions,
  requireWindow,
  sumCounts,
} from './feedback-store.js';
import {
  type FeedbackTable,
  type ForeignFeedbackTable,
  foreignTable,
  NO_TABLE,
  OWN_TABLE,
  ownTable,
  requireForeignTable,
  type SelectedRow,
} from './postgres-table.js';

export interface PostgresFeedbackOptions extends PostgresOptions {
  /** Read the feedback of another application. Default: a table of our own, `feedback` in the schema. */
  foreign?: ForeignFeedbackTable;
}

/** Of one statement. */
const MAX_ROWS = 500;
const MAX_CHARACTERS = 2 ** 24;

export class PostgresFeedbackStore implements FeedbackStore {
  readonly #database: PostgresDatabase;
  readonly #table: FeedbackTable;
  readonly #foreign: string | undefined;
  readonly #queue: AppendQueue;

  private constructor(database: PostgresDatabase, table: FeedbackTable, foreign: string | undefined) {
    this.#database = database;
    this.#table = table;
    this.#foreign = foreign;
    this.#queue = new AppendQueue((rows) => this.#write(rows), isRefusal);
  }

  /**
   * Connects, and makes the table when missing, unless it is of another application. Rejects with ERR_INVALID_CONFIG, also
   * for columns that the table does not have, and ERR_STORE_UNAVAILABLE where the package pg is not installed, the server
   * cannot be reached or refuses, or a later lorakeet has made the table.
   */
  static async open(options: PostgresFeedbackOptions = {}): Promise<PostgresFeedbackStore> {
    rejectUnknownKeys('options', options, [...POSTGRES_OPTIONS, 'foreign']);
    const { foreign, ...rest } = options;
    if (foreign === undefined) {
      const database = await PostgresDatabase.open(rest, OWN_TABLE);
      return new PostgresFeedbackStore(database, ownTable(database.schema), undefined);
    }
    requireForeignTable(foreign);
    const database = await PostgresDatabase.open(rest, NO_TABLE);
    try {
      const table = await foreignTable(database.query, foreign);
      return new PostgresFeedbackStore(database, table, foreign.table);
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /**
   * Rejects with ERR_INVALID_STATE where the table is another application's. When a connection was lost meanwhile, `added`
   * may leave out rows that the lost call had written.
   */
  async append(feedback: readonly FeedbackInput[]): Promise<AppendedFeedback> {
    const rows = requireFeedbackList(feedback);
    if (this.#foreign !== undefined) {
      const what = `the table ${this.#foreign} belongs to another application, which writes its feedback itself`;
      throw new LorakeetError('ERR_INVALID_STATE', what);
    }
    const added = await this.#queue.add(rows);
    return { ids: rows.map(({ id }) => id), added: added.filter(Boolean).length };
  }

  async page(window: FeedbackWindow, options: { limit: number; after?: string }): Promise<FeedbackPage> {
    const times = timesOf(window);
    const { limit, after } = requirePageOptions(options);
    const { name, selection, within, order } = this.#table;
    const conditions = after ? `${within} AND ${this.#table.after}` : within;
    const sql = `SELECT ${selection} FROM ${name} WHERE ${conditions} ORDER BY ${order} LIMIT ${limit + 1}`;
    const found = await this.#query<SelectedRow>(sql, after ? [...times, after.time, after.id] : times);
    const rows = found.slice(0, limit);
    return { rows: rows.map(feedbackOf), next: found.length > limit ? cursorOf(rows[limit - 1]) : undefined };
  }

  /** Where a table of others lacks intent or project as columns, every row is read. */
  async count(window: FeedbackWindow): Promise<FeedbackCounts> {
    const { name, within, groups } = this.#table;
    if (groups === undefined) {
      const all = [];
      for await (const { type, intent, project } of readFeedback(this, window))
        all.push({ type, intent, project, count: 1 });
      return sumCounts(all);
    }
    const sql = `
      SELECT ${groups.type} AS type, coalesce(${groups.intent}, 'unknown') AS intent,
        coalesce(${groups.project}, 'unknown') AS project, count(*)::text AS count
      FROM ${name} WHERE ${within} GROUP BY 1, 2, 3`;
    const found = await this.#query<{ type: string; intent: string; project: string; count: string }>(
      sql,
      timesOf(window),
    );
    return sumCounts(found.map((group) => ({ ...group, count: Number(group.count) })));
  }

  /** Closes the connections, unless the pool is the caller's. */
  async close(): Promise<void> {
    await this.#queue.close();
    await this.#database.close();
  }

  #query<Row>(sql: string, values: unknown[]): Promise<Row[]> {
    return this.#queue.isClosed ? Promise.reject(closedError()) : this.#database.query<Row>(sql, values);
  }

  async #write(rows: readonly Feedback[]): Promise<boolean[]> {
    // always in this order: calls that wait for each other in different orders would wait for ever
    const sorted = rows.map((row) => valuesOf(row)).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const batches = batchesOf(sorted);
    const insert = async (query: Query) => {
      const ids = new Set<string>();
      for (const batch of batches) for (const { id } of await this.#insert(query, batch)) ids.add(id);
      return ids;
    };
    const added =
      batches.length === 1
        ? await insert(this.#database.query)
        : await this.#database.transaction((query) => insert(query));
    // of rows with the same id the first is the one
    return rows.map(({ id }) => added.delete(id));
  }

  #insert(query: Query, batch: readonly Values[]): Promise<{ id: string }[]> {
    const tuples = batch.map((row, i) => `(${row.map((_, j) => `$${i * row.length + j + 1}`).join(', ')})`);
    const sql = `
      INSERT INTO ${this.#table.name} (id, created_at, feedback_type, request_data, response_data, expected_answer, reason, intent, project)
      VALUES ${tuples.join(', ')} ON CONFLICT (id) DO NOTHING RETURNING id`;
    return query<{ id: string }>(sql, batch.flat());
  }
}

type Values = [id: string, ...rest: (string | null)[]];

function valuesOf({
  id,
  createdAt,
  type,
  request,
  response,
  expectedAnswer,
  reason,
  intent,
  project,
}: Feedback): Values {
  const documents = [JSON.stringify(request), JSON.stringify(response)];
  return [id, createdAt.toISOString(), type, ...documents, expectedAnswer ?? null, reason ?? null, intent, project];
}

function batchesOf(rows: readonly Values[]): Values[][] {
  const batches: Values[][] = [];
  let size = 0;
  for (const row of rows) {
    const characters = row.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    size += characters;
    const last = batches.at(-1);
    if (last && last.length < MAX_ROWS && size <= MAX_CHARACTERS) {
      last.push(row);
    } else {
      batches.push([row]);
      size = characters;
    }
  }
  return batches;
}

/** The server took offence at the data (classes 22 and 23), not at the call. */
function isRefusal(error: unknown): boolean {
  const code = ((error as Error).cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && /^2[23]/.test(code);
}

function timesOf(window: FeedbackWindow): string[] {
  const { since, until } = requireWindow(window);
  return [since, until].map((time) => new Date(time).toISOString());
}

/** What a table of others has in text becomes what the cleaning reads: a request and a response. */
function feedbackOf(row: SelectedRow): Feedback {
  const { id, type, expected, reason } = row;
  const request = row.query === null ? objectOf(row.request) : { messages: [{ role: 'user', content: row.query }] };
  const answer = { message: { role: 'assistant', content: row.answer } };
  const response = row.answer === null ? objectOf(row.response) : { choices: [answer] };
  return {
    id,
    createdAt: new Date(row.time),
    type,
    request,
    response,
    ...(expected !== null && { expectedAnswer: expected }),
    ...(reason !== null && { reason }),
    intent: row.intent ?? intentOf(request, response),
    project: row.project ?? projectOf(request, response),
  };
}

function objectOf(json: string | null): JsonObject {
  try {
    const value: unknown = JSON.parse(json ?? '{}');
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}
