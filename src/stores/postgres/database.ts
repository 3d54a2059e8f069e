/**
 * A schema of a Postgres database: statements and transactions over a pool of connections, repeated where a connection was
 * lost and repeating is safe.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fail, requireInteger } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { makePool, type OwnPool, type PostgresClient, type PostgresPool, type PostgresSettings } from './driver.js';
import { failureOf, unavailable } from './failures.js';
import { type MigrationSet, migrate } from './migrations.js';

export interface PostgresOptions {
  /**
   * postgres://user:password@host:port/database, or settings as the Pool of pg takes them, or a Pool of your own, which stays
   * open when the store is closed. Settings are completed with timeouts of 10 s for a connection and 60 s for a statement.
   * Default: what the environment says (PGHOST, PGUSER, PGPASSWORD, …).
   */
  connection?: string | PostgresSettings | PostgresPool;
  /** Where the tables are; made when missing. Lower-case letters, digits and _, at most 63. Default: lorakeet. */
  schema?: string;
  /** How often a call is tried in all while the server cannot be reached or drops connections, 1 to 20; default 5, some 2 s. */
  attempts?: number;
}

export const POSTGRES_OPTIONS = ['connection', 'schema', 'attempts'] as const;

/** Sends one statement; its rows. */
export type Query = <Row = Record<string, unknown>>(sql: string, values?: unknown[]) => Promise<Row[]>;

/** `uncertain`: it has been run before, and that may have happened or not. */
export type Work<T> = (query: Query, uncertain: boolean) => Promise<T>;

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;
const URL_FORM = /^(postgres(ql)?:\/\/|socket:|\/)/;
const FIRST_BACK_OFF_MS = 200;
const MAX_BACK_OFF_MS = 2000;

export class PostgresDatabase {
  readonly #pool: PostgresPool;
  readonly #own: OwnPool | undefined;
  readonly #attempts: number;
  /** Of the tables, in quotes. */
  readonly schema: string;
  #closed: Promise<void> | undefined;

  private constructor(pool: PostgresPool, own: OwnPool | undefined, attempts: number, schema: string) {
    this.#pool = pool;
    this.#own = own;
    this.#attempts = attempts;
    this.schema = `"${schema}"`;
  }

  /**
   * Connects, and brings the tables of `migrations` up to date. Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE
   * where the package pg is not installed, the server cannot be reached or refuses, or the tables are of a later version.
   */
  static async open(options: PostgresOptions, migrations: MigrationSet): Promise<PostgresDatabase> {
    const { connection = {}, schema = 'lorakeet', attempts = 5 } = options;
    if (typeof schema !== 'string' || !SCHEMA.test(schema)) {
      fail('ERR_INVALID_CONFIG', 'options.schema', schema, 'lower-case letters, digits and _, at most 63');
    }
    requireInteger('options.attempts', attempts, 1, 20);
    const own = isPool(connection) ? undefined : await makePool(settingsOf(connection));
    const database = new PostgresDatabase(own ?? (connection as PostgresPool), own, attempts, schema);
    try {
      await migrate(database, migrations);
    } catch (error) {
      await database.close();
      throw error;
    }
    return database;
  }

  /**
   * One statement, a transaction of its own, that may be sent again when a connection is lost: whatever it does, doing it
   * twice is the same. Rejects with ERR_STORE_UNAVAILABLE.
   */
  query: Query = (sql, values) => this.run((query) => query(sql, values));

  /** All statements of `work`, which may be run again, or none. Rejects with ERR_STORE_UNAVAILABLE and what `work` throws. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return this.run(async (query) => {
      await query('BEGIN ISOLATION LEVEL READ COMMITTED');
      const result = await work(query);
      await query('COMMIT');
      return result;
    });
  }

  /**
   * Runs `work` on one connection, again after a failure that may pass; work that is not `repeatable` never after one whose
   * effect is uncertain.
   */
  async run<T>(work: Work<T>, repeatable = true): Promise<T> {
    let uncertain = false;
    for (let attempt = 1; ; attempt++) {
      let client: PostgresClient | undefined;
      try {
        client = await this.#pool.connect();
        return await useClient(client, (query) => work(query, uncertain));
      } catch (error) {
        const failure = error instanceof LorakeetError ? 'final' : failureOf(error, client !== undefined);
        uncertain ||= failure === 'lost';
        if (failure === 'final' || attempt >= this.#attempts || (uncertain && !repeatable)) throw unavailable(error);
      }
      const longest = Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (attempt - 1));
      await delay(longest / 2 + randomInt(longest / 2));
    }
  }

  /** Closes the connections of a pool that was made here. */
  close(): Promise<void> {
    this.#closed ??= this.#own ? this.#own.end() : Promise.resolve();
    return this.#closed;
  }
}

/** After a failure the connection is closed, which also ends its transaction. */
async function useClient<T>(client: PostgresClient, work: (query: Query) => Promise<T>): Promise<T> {
  let broken = true;
  // a lost connection fails the statement under way; without a listener it would end the process too
  const ignore = () => {};
  client.on('error', ignore);
  try {
    const result = await work(async <Row>(sql: string, values?: unknown[]) => {
      return (await client.query(sql, values)).rows as Row[];
    });
    broken = false;
    return result;
  } finally {
    client.removeListener('error', ignore);
    client.release(broken);
  }
}

function settingsOf(connection: string | PostgresSettings): PostgresSettings {
  const { connectionString, ...settings } =
    typeof connection === 'string' ? { connectionString: connection } : connection;
  if (connectionString === undefined) return settings;
  if (typeof connectionString !== 'string' || !URL_FORM.test(connectionString)) {
    // the value may hold a password
    const what = `options.connection: got another ${typeof connectionString}, expected postgres://…, settings or a Pool`;
    throw new LorakeetError('ERR_INVALID_CONFIG', what);
  }
  return { ...settings, connectionString };
}

function isPool(value: string | PostgresSettings | PostgresPool): value is PostgresPool {
  if (typeof value !== 'string' && (typeof value !== 'object' || value === null)) {
    fail('ERR_INVALID_CONFIG', 'options.connection', value, 'postgres://…, settings or a Pool');
  }
  return typeof (value as PostgresPool).connect === 'function';
}
