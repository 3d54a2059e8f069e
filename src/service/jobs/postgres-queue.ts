/** The queue in Postgres, for workers on several machines. */
import { rejectUnknownKeys } from '../../checks.js';
import { POSTGRES_OPTIONS, PostgresDatabase, type PostgresOptions } from '../../stores/postgres/database.js';
import type { MigrationSet } from '../../stores/postgres/migrations.js';
import { JOB_COLUMNS, SCHEDULE_COLUMNS } from './rows.js';
import { type Query, type SqlDialect, SqlJobQueue } from './sql-queue.js';

export interface PostgresJobQueueOptions extends PostgresOptions {
  /** ms since 1970; default: the server's clock, for those of several machines differ. */
  now?: () => number;
}

const JOB_TABLES: MigrationSet = {
  part: 'jobs',
  steps: [
    (schema) => `
      CREATE TABLE ${schema}.jobs (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${JOB_COLUMNS});
      CREATE INDEX jobs_by_queue ON ${schema}.jobs (queue, state, run_at);
      CREATE INDEX jobs_by_token ON ${schema}.jobs (token);
      CREATE TABLE ${schema}.schedules (${SCHEDULE_COLUMNS});`,
  ],
};

export class PostgresJobQueue extends SqlJobQueue {
  /**
   * Connects, and makes the tables when missing. Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package
   * pg is not installed, the server cannot be reached or refuses, or a later lorakeet has made the tables.
   */
  static async open(options: PostgresJobQueueOptions = {}): Promise<PostgresJobQueue> {
    rejectUnknownKeys('options', options, [...POSTGRES_OPTIONS, 'now']);
    const database = await PostgresDatabase.open(options, JOB_TABLES);
    return new PostgresJobQueue(new PostgresDialect(database, options.now));
  }
}

class PostgresDialect implements SqlDialect {
  readonly jobs: string;
  readonly schedules: string;
  readonly forUpdate = 'FOR UPDATE';
  readonly skipLocked = 'FOR UPDATE SKIP LOCKED';
  readonly #database: PostgresDatabase;
  readonly #now: (() => number) | undefined;

  constructor(database: PostgresDatabase, now: (() => number) | undefined) {
    this.#database = database;
    this.#now = now;
    this.jobs = `${database.schema}.jobs`;
    this.schedules = `${database.schema}.schedules`;
  }

  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.#database.transaction((query) => work(query as Query));
  }

  /** SKIP LOCKED alone keeps two from the same job, but not from counting the running ones at the same time. */
  async lockQueue(query: Query, queue: string): Promise<void> {
    await query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`lorakeet claims ${this.jobs} ${queue}`]);
  }

  async now(query: Query): Promise<number> {
    if (this.#now) return this.#now();
    const [{ ms }] = await query<{ ms: number }>(
      'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms',
    );
    return ms;
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
