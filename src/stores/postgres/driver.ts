/** The package pg: loaded when it is needed, and as much of it as the stores use, so that a pool of the caller's own will do. */
import { LorakeetError } from '../../errors.js';

/** A Pool of the package pg, or what behaves like one. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
}

export interface PostgresClient {
  query(sql: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  /** With true the connection is closed, else it goes back to the pool. */
  release(broken: boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

/** Settings as the Pool of pg takes them, such as these. */
export interface PostgresSettings {
  connectionString?: string;
  /** A name, an address, or the folder of a Unix socket. */
  host?: string;
  port?: number;
  user?: string;
  password?: string | (() => string | Promise<string>);
  database?: string;
  ssl?: boolean | object;
  /** How many connections at most; default 10. */
  max?: number;
  [setting: string]: unknown;
}

const DEFAULTS = {
  application_name: 'lorakeet',
  connectionTimeoutMillis: 10_000,
  /** On the server, and somewhat later here, for a server that is gone without a word. */
  statement_timeout: 60_000,
  query_timeout: 65_000,
  keepAlive: true,
  // idle connections do not keep the process alive
  allowExitOnIdle: true,
};

export interface OwnPool extends PostgresPool {
  on(event: 'error', listener: () => void): unknown;
  end(): Promise<void>;
}

interface Driver {
  Pool: new (settings: PostgresSettings) => OwnPool;
}

/** Connects to nothing yet. Rejects with ERR_STORE_UNAVAILABLE where the package pg is not installed. */
export async function makePool(settings: PostgresSettings, load = loadDriver): Promise<OwnPool> {
  const { Pool } = await load().catch((cause) => {
    const what = 'Postgres needs a package that is not installed: npm install pg';
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', what, { cause });
  });
  const pool = new Pool({ ...DEFAULTS, ...settings });
  // of idle connections that the server has closed; the pool makes others
  pool.on('error', () => {});
  return pool;
}

async function loadDriver(): Promise<Driver> {
  return (await import('pg')).default;
}
