/** The embedded database, loaded when it is first asked for: Node's own where there is one, else a package with its API. */
import { createRequire } from 'node:module';
import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { LorakeetError } from './errors.js';

export type SqliteDatabase = DatabaseSyncInstance;

interface Sqlite {
  DatabaseSync: new (path: string) => SqliteDatabase;
}

/** Where the database can come from, best first; each throws or answers undefined where it is not to be had. */
const SOURCES: readonly (() => unknown)[] = [
  () => (process.getBuiltinModule as (id: string) => unknown)('node:sqlite'),
  () => createRequire(import.meta.url)('@photostructure/sqlite'),
];

/**
 * Opens the database at `path`, made when missing; ':memory:' is one that lives as long as the connection. Throws
 * ERR_SQLITE_UNAVAILABLE where neither Node nor the package provides one, ERR_STORE_UNAVAILABLE if it cannot be opened.
 */
export function openSqlite(path: string, sources = SOURCES): SqliteDatabase {
  const { DatabaseSync } = loadSqlite(sources);
  try {
    return new DatabaseSync(path);
  } catch (cause) {
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', `cannot open ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** How long to wait for another process that is writing. */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens a file that several processes may use at once, made with the tables of `schema` when new: WAL, and what is committed
 * survives the power. `version` is that of the schema, kept as PRAGMA user_version. Throws ERR_SQLITE_UNAVAILABLE, and
 * ERR_STORE_UNAVAILABLE for a file that cannot be used as `what`.
 */
export function openSqliteFile(path: string, what: string, schema: string, version: number): SqliteDatabase {
  const database = openSqlite(path);
  try {
    database.exec(`
      PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS};
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
    `);
    inTransaction(database, () => {
      const { user_version: found } = database.prepare('PRAGMA user_version').get() as { user_version: number };
      if (found === 0) database.exec(`${schema} PRAGMA user_version = ${version};`);
      else if (found !== version) throw new Error(`the file's schema has version ${found}, expected ${version}`);
    });
    return database;
  } catch (cause) {
    database.close();
    const text = `cannot use ${path} as ${what}: ${(cause as Error).message}`;
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause });
  }
}

/** Runs `work` in a transaction that takes the write lock at once: all of it happens, or nothing. */
export function inTransaction<T>(database: SqliteDatabase, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite itself has rolled back after some failures, such as a full disk
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function loadSqlite(sources: readonly (() => unknown)[]): Sqlite {
  let cause: unknown;
  for (const load of sources) {
    try {
      const module = load();
      if (module) return module as Sqlite;
    } catch (error) {
      cause = error;
    }
  }
  const advice = 'npm install @photostructure/sqlite, or use Node 22.13 or later';
  throw new LorakeetError('ERR_SQLITE_UNAVAILABLE', `this Node has no node:sqlite: ${advice}`, { cause });
}
