/** Feedback in one SQLite file: the default, for one machine. */
import { LorakeetError } from '../../errors.js';
import { inTransaction, openSqliteFile, type SqliteDatabase } from '../../sqlite.js';
import { AppendQueue, closedError } from './append-queue.js';
import { type Feedback, type FeedbackInput, type FeedbackType, requireFeedbackList } from './feedback.js';
import {
  type AppendedFeedback,
  cursorOf,
  type FeedbackCounts,
  type FeedbackPage,
  type FeedbackStore,
  type FeedbackWindow,
  requirePageOptions,
  requireWindow,
  sumCounts,
} from './feedback-store.js';

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    feedback_type TEXT NOT NULL,
    request_data TEXT NOT NULL,
    response_data TEXT NOT NULL,
    expected_answer TEXT,
    reason TEXT,
    intent TEXT NOT NULL,
    project TEXT NOT NULL
  );
  CREATE INDEX feedback_by_time ON feedback (created_at, id);`;

interface Row {
  id: string;
  created_at: number;
  feedback_type: FeedbackType;
  request_data: string;
  response_data: string;
  expected_answer: string | null;
  reason: string | null;
  intent: string;
  project: string;
}

/** Every write is one transaction, synced, of all calls that came while the one before was under way. */
export class SqliteFeedbackStore implements FeedbackStore {
  readonly #database: SqliteDatabase;
  readonly #insert: ReturnType<SqliteDatabase['prepare']>;
  readonly #queue: AppendQueue;
  readonly #path: string;

  /**
   * Opens the file, made when missing, in a folder that exists; other processes may have it open too. Throws
   * ERR_SQLITE_UNAVAILABLE, and ERR_STORE_UNAVAILABLE for a file that cannot be opened or is something else.
   */
  constructor(path: string) {
    this.#path = path;
    this.#database = openSqliteFile(path, 'a feedback store', SCHEMA, SCHEMA_VERSION);
    this.#insert = this.#database.prepare(
      'INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
    );
    this.#queue = new AppendQueue(async (rows) => this.#attempt(() => this.#write(rows)));
  }

  async append(feedback: readonly FeedbackInput[]): Promise<AppendedFeedback> {
    const rows = requireFeedbackList(feedback);
    const added = await this.#queue.add(rows);
    return { ids: rows.map(({ id }) => id), added: added.filter(Boolean).length };
  }

  async page(window: FeedbackWindow, options: { limit: number; after?: string }): Promise<FeedbackPage> {
    const { since, until } = requireWindow(window);
    const { limit, after = { time: '-1', id: '' } } = requirePageOptions(options);
    const sql = `
      SELECT * FROM feedback WHERE created_at >= ? AND created_at < ? AND (created_at, id) > (?, ?)
      ORDER BY created_at, id LIMIT ?`;
    const values = [since, until, Number(after.time), after.id, limit + 1];
    const found = this.#attempt(() => this.#database.prepare(sql).all(...values)) as unknown as Row[];
    const rows = found.slice(0, limit);
    const last = rows.at(-1);
    const next = found.length > limit && last ? cursorOf({ time: String(last.created_at), id: last.id }) : undefined;
    return { rows: rows.map(feedbackOf), next };
  }

  async count(window: FeedbackWindow): Promise<FeedbackCounts> {
    const { since, until } = requireWindow(window);
    const sql = `
      SELECT feedback_type AS type, intent, project, count(*) AS count FROM feedback
      WHERE created_at >= ? AND created_at < ? GROUP BY 1, 2, 3`;
    const groups = this.#attempt(() => this.#database.prepare(sql).all(since, until));
    return sumCounts(groups as unknown as Parameters<typeof sumCounts>[0]);
  }

  async close(): Promise<void> {
    const first = !this.#queue.isClosed;
    await this.#queue.close();
    if (first) this.#database.close();
  }

  #write(rows: readonly Feedback[]): boolean[] {
    return inTransaction(this.#database, () =>
      rows.map(({ id, createdAt, type, request, response, expectedAnswer, reason, intent, project }) => {
        const texts = [JSON.stringify(request), JSON.stringify(response), expectedAnswer ?? null, reason ?? null];
        return Number(this.#insert.run(id, createdAt.getTime(), type, ...texts, intent, project).changes) === 1;
      }),
    );
  }

  #attempt<T>(work: () => T): T {
    if (!this.#database.isOpen) throw closedError();
    try {
      return work();
    } catch (cause) {
      const text = `feedback in ${this.#path}: ${(cause as Error).message}`;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause });
    }
  }
}

function feedbackOf(row: Row): Feedback {
  return {
    id: row.id,
    createdAt: new Date(row.created_at),
    type: row.feedback_type,
    request: JSON.parse(row.request_data),
    response: JSON.parse(row.response_data),
    ...(row.expected_answer !== null && { expectedAnswer: row.expected_answer }),
    ...(row.reason !== null && { reason: row.reason }),
    intent: row.intent,
    project: row.project,
  };
}
