/** The queue in a SQLite file: the default, for the processes of one machine. */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { LorakeetError } from '../../errors.js';
import { openSqliteFile, type SqliteDatabase } from '../../sqlite.js';
import { JOB_COLUMNS, SCHEDULE_COLUMNS } from './rows.js';
import { type Query, type SqlDialect, SqlJobQueue } from './sql-queue.js';

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE jobs (seq INTEGER PRIMARY KEY AUTOINCREMENT, ${JOB_COLUMNS});
  CREATE INDEX jobs_by_queue ON jobs (queue, state, run_at);
  CREATE INDEX jobs_by_token ON jobs (token);
  CREATE TABLE schedules (${SCHEDULE_COLUMNS});`;

export interface SqliteJobQueueOptions {
  /** ms since 1970; default Date.now. */
  now?: () => number;
}

/**
 * The last transaction of each file in this process. Waiting for a file's lock stops the thread, and so the very
 * transaction of another connection that would free it.
 */
const lasts = new Map<string, Promise<unknown>>();

/** What a call has answered survives the process and the power. Other processes may have the file open too. */
export class SqliteJobQueue extends SqlJobQueue {
  /**
   * Opens the file, made when missing, in a folder that exists. Throws ERR_SQLITE_UNAVAILABLE where there is no SQLite,
   * ERR_STORE_UNAVAILABLE for a file that cannot be opened or is something else.
   */
  constructor(path: string, { now = Date.now }: SqliteJobQueueOptions = {}) {
    const database = openSqliteFile(path, 'a job queue', SCHEMA, SCHEMA_VERSION);
    super(new SqliteDialect(database, path === ':memory:' ? randomUUID() : realpathSync(path), now));
  }
}

class SqliteDialect implements SqlDialect {
  readonly jobs = 'jobs';
  readonly schedules = 'schedules';
  // a transaction has the whole file for itself
  readonly forUpdate = '';
  readonly skipLocked = '';
  readonly #database: SqliteDatabase;
  readonly #file: string;
  readonly #now: () => number;
  readonly #statements = new Map<string, ReturnType<SqliteDatabase['prepare']>>();
  #closed = false;

  constructor(database: SqliteDatabase, file: string, now: () => number) {
    this.#database = database;
    this.#file = file;
    this.#now = now;
  }

  /** One after another; each only ever waits for promises that are settled, so no timer comes between. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const result = (lasts.get(this.#file) ?? Promise.resolve()).then(() => this.#run(work));
    const last = result
      .catch(() => {})
      .then(() => {
        if (lasts.get(this.#file) === last) lasts.delete(this.#file);
      });
    lasts.set(this.#file, last);
    return result;
  }

  async #run<T>(work: (query: Query) => Promise<T>): Promise<T> {
    if (this.#closed) throw new LorakeetError('ERR_CLOSED', 'the job queue has been closed');
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      const result = await work(this.#query);
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite itself has rolled back after some failures, such as a full disk
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      if (error instanceof LorakeetError) throw error;
      const text = `the job queue: ${(error as Error).message}`;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause: error });
    }
  }

  readonly #query: Query = async <Row>(sql: string, values: (string | number | null)[] = []) => {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql.replace(/\$(\d+)/g, '?$1'));
      this.#statements.set(sql, statement);
    }
    return statement.all(...values) as Row[];
  };

  async lockQueue(): Promise<void> {}

  async now(): Promise<number> {
    return this.#now();
  }

  async close(): Promise<void> {
    await lasts.get(this.#file);
    if (!this.#closed) this.#database.close();
    this.#closed = true;
  }
}
