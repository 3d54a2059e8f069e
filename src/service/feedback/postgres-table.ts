/** A table of feedback in Postgres, as expressions of SQL: lorakeet's own, or one of another application. */
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { Query } from '../../stores/postgres/database.js';
import type { MigrationSet } from '../../stores/postgres/migrations.js';

/** Names of columns. Either type or rating, request or query, response or answer. */
export interface FeedbackColumns {
  id: string;
  /** timestamptz, or timestamp in UTC. */
  createdAt: string;
  /** Text: thumbs_up or thumbs_down; rows with anything else are not seen. */
  type?: string;
  /** A number instead: above 0 for thumbs_up, below 0 for thumbs_down. */
  rating?: string;
  /** JSON with messages. */
  request?: string;
  /** JSON. */
  response?: string;
  /** Text instead of the request: what was asked. */
  query?: string;
  /** Text instead of the response: what was answered. */
  answer?: string;
  expectedAnswer?: string;
  reason?: string;
  intent?: string;
  project?: string;
}

/** A table that another application writes. */
export interface ForeignFeedbackTable {
  /** table or schema.table. */
  table: string;
  columns: FeedbackColumns;
}

export const OWN_TABLE: MigrationSet = {
  part: 'feedback',
  steps: [
    (schema) => `
      CREATE TABLE ${schema}.feedback (
        id text COLLATE "C" PRIMARY KEY,
        created_at timestamptz NOT NULL,
        feedback_type text NOT NULL CHECK (feedback_type IN ('thumbs_up', 'thumbs_down')),
        request_data jsonb NOT NULL,
        response_data jsonb NOT NULL,
        expected_answer text,
        reason text,
        intent text NOT NULL,
        project text NOT NULL
      );
      CREATE INDEX feedback_by_time ON ${schema}.feedback (created_at, id);`,
  ],
};

/** Nothing but its own bookkeeping is made beside a table of others. */
export const NO_TABLE: MigrationSet = { part: 'feedback', steps: [] };

const OWN_COLUMNS: FeedbackColumns = {
  ...{ id: 'id', createdAt: 'created_at', type: 'feedback_type', request: 'request_data', response: 'response_data' },
  ...{ expectedAnswer: 'expected_answer', reason: 'reason', intent: 'intent', project: 'project' },
};
const COLUMN_KEYS: readonly (keyof FeedbackColumns)[] = [
  ...(['id', 'createdAt', 'type', 'rating', 'request', 'response', 'query', 'answer'] as const),
  ...(['expectedAnswer', 'reason', 'intent', 'project'] as const),
];
const CHOICES = [
  ['type', 'rating'],
  ['request', 'query'],
  ['response', 'answer'],
] as const;
const NAME = /^[A-Za-z_]\w{0,62}$/;

export interface FeedbackTable {
  /** In quotes. */
  name: string;
  /** What a row is selected as. */
  selection: string;
  /** Rows from $1 to $2, both times as text. */
  within: string;
  /** Those after the time $3 and the id $4. */
  after: string;
  order: string;
  /** Columns that group counts, where the table has them. */
  groups: { type: string; intent: string; project: string } | undefined;
}

export interface SelectedRow {
  id: string;
  /** In UTC, with microseconds. */
  time: string;
  type: 'thumbs_up' | 'thumbs_down';
  request: string | null;
  response: string | null;
  query: string | null;
  answer: string | null;
  expected: string | null;
  reason: string | null;
  intent: string | null;
  project: string | null;
}

export function ownTable(schema: string): FeedbackTable {
  return tableOf(`${schema}.feedback`, OWN_COLUMNS, true);
}

/** Throws ERR_INVALID_CONFIG. */
export function requireForeignTable(foreign: ForeignFeedbackTable): void {
  rejectUnknownKeys('options.foreign', foreign, ['table', 'columns']);
  const { table, columns } = foreign;
  const parts = typeof table === 'string' ? table.split('.') : [];
  if (parts.length < 1 || parts.length > 2 || !parts.every((part) => NAME.test(part))) {
    fail('ERR_INVALID_CONFIG', 'options.foreign.table', table, 'table or schema.table');
  }
  if (typeof columns !== 'object' || columns === null) {
    fail('ERR_INVALID_CONFIG', 'options.foreign.columns', columns, 'names of columns');
  }
  rejectUnknownKeys('options.foreign.columns', columns, COLUMN_KEYS);
  const required = [['id'], ['createdAt'], ...CHOICES] as readonly (readonly (keyof FeedbackColumns)[])[];
  for (const names of required) {
    if (names.filter((name) => columns[name] !== undefined).length !== 1) {
      const expected = names.length === 1 ? 'the name of a column' : `either this or ${names[1]}`;
      fail('ERR_INVALID_CONFIG', `options.foreign.columns.${names[0]}`, columns[names[0]], expected);
    }
  }
  for (const key of COLUMN_KEYS) {
    const name = columns[key];
    if (name !== undefined && !(typeof name === 'string' && NAME.test(name))) {
      fail('ERR_INVALID_CONFIG', `options.foreign.columns.${key}`, name, 'the name of a column');
    }
  }
}

/** Looks at the table. Rejects with ERR_INVALID_CONFIG where it, or a column of it, is not there. */
export async function foreignTable(query: Query, { table, columns }: ForeignFeedbackTable): Promise<FeedbackTable> {
  const name = table.split('.').map(quoted).join('.');
  const sql = `
    SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`;
  const found = new Map((await query<{ name: string; type: string }>(sql, [name])).map((row) => [row.name, row.type]));
  if (found.size === 0)
    throw new LorakeetError('ERR_INVALID_CONFIG', `options.foreign.table: there is no table ${table}`);
  for (const key of COLUMN_KEYS) {
    const column = columns[key];
    if (column !== undefined && !found.has(column)) {
      const what = `options.foreign.columns.${key}: ${table} has no column ${column}, only ${[...found.keys()].join(', ')}`;
      throw new LorakeetError('ERR_INVALID_CONFIG', what);
    }
  }
  const timeType = found.get(columns.createdAt) as string;
  if (!timeType.startsWith('timestamp')) {
    fail(
      'ERR_INVALID_CONFIG',
      'options.foreign.columns.createdAt',
      timeType,
      'a column of type timestamptz or timestamp',
    );
  }
  return tableOf(name, columns, timeType === 'timestamp with time zone');
}

/** `zoned`: times are timestamptz; else timestamp, in UTC. */
function tableOf(name: string, columns: FeedbackColumns, zoned: boolean): FeedbackTable {
  const textOf = (column: string | undefined) => (column === undefined ? 'NULL' : `${quoted(column)}::text`);
  const time = quoted(columns.createdAt);
  const inUtc = zoned ? `(${time} AT TIME ZONE 'UTC')` : time;
  const moment = (parameter: string) =>
    zoned ? `${parameter}::timestamptz` : `(${parameter}::timestamptz AT TIME ZONE 'UTC')`;
  const id = `${quoted(columns.id)}::text COLLATE "C"`;
  const rating = columns.rating && quoted(columns.rating);
  const type = rating ? `CASE WHEN ${rating} > 0 THEN 'thumbs_up' ELSE 'thumbs_down' END` : textOf(columns.type);
  const judged = rating ? `${rating} <> 0` : `${type} IN ('thumbs_up', 'thumbs_down')`;
  const fields = {
    id,
    time: `to_char(${inUtc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
    type,
    ...{ request: textOf(columns.request), response: textOf(columns.response) },
    ...{ query: textOf(columns.query), answer: textOf(columns.answer) },
    ...{ expected: textOf(columns.expectedAnswer), reason: textOf(columns.reason) },
    ...{ intent: textOf(columns.intent), project: textOf(columns.project) },
  };
  const { intent, project } = columns;
  return {
    name,
    selection: Object.entries(fields)
      .map(([field, expression]) => `${expression} AS ${field}`)
      .join(', '),
    within: `${time} >= ${moment('$1')} AND ${time} < ${moment('$2')} AND ${judged} AND ${quoted(columns.id)} IS NOT NULL`,
    after: `(${time}, ${id}) > (${moment('$3')}, $4)`,
    order: `${time}, ${id}`,
    groups: intent && project ? { type, intent: textOf(intent), project: textOf(project) } : undefined,
  };
}

const quoted = (name: string) => `"${name}"`;
