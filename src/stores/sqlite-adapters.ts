/** Adapters in one SQLite file: durable, embedded, for one machine; the default for services that keep their users. */
import { inTransaction, openSqliteFile, type SqliteDatabase } from '../sqlite.js';
import {
  type AdapterCollection,
  requireAdapterIds,
  requireStoredAdapters,
  type StoredAdapter,
} from '../versions/adapter-store.js';

const SCHEMA_VERSION = 1;
/** Adapters read at once by entries(). */
const ENTRIES_PER_READ = 64;
const SCHEMA = 'CREATE TABLE adapters (id BLOB PRIMARY KEY, bytes BLOB NOT NULL);';

/**
 * A store in a file. What save() has acknowledged survives the process and the power: every save is one transaction, synced.
 * Calls do their work before they return, on the calling thread; other threads and processes may have the file open too.
 */
export class SqliteAdapterStore implements AdapterCollection {
  readonly #database: SqliteDatabase;
  readonly #select: ReturnType<SqliteDatabase['prepare']>;
  readonly #selectAfter: ReturnType<SqliteDatabase['prepare']>;
  readonly #upsert: ReturnType<SqliteDatabase['prepare']>;
  readonly #delete: ReturnType<SqliteDatabase['prepare']>;

  /**
   * Opens the file, made when missing, in a folder that exists. Throws ERR_SQLITE_UNAVAILABLE where there is no SQLite
   * (Node before 22.13 without the package @photostructure/sqlite), ERR_STORE_UNAVAILABLE for a file that cannot be opened
   * or is something else.
   */
  constructor(path: string) {
    this.#database = openSqliteFile(path, 'an adapter store', SCHEMA, SCHEMA_VERSION);
    // ids as UTF-8 bytes: SQLite's text functions, collations and NUL have no say
    this.#select = this.#database.prepare('SELECT bytes FROM adapters WHERE id = ?');
    this.#selectAfter = this.#database.prepare('SELECT id, bytes FROM adapters WHERE id > ? ORDER BY id LIMIT ?');
    this.#upsert = this.#database.prepare('INSERT OR REPLACE INTO adapters (id, bytes) VALUES (?, ?)');
    this.#delete = this.#database.prepare('DELETE FROM adapters WHERE id = ?');
  }

  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    requireAdapterIds(ids);
    return ids.map((id) => (this.#select.get(keyOf(id)) as { bytes: Uint8Array } | undefined)?.bytes);
  }

  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    requireStoredAdapters(adapters);
    inTransaction(this.#database, () => {
      for (const { id, bytes } of adapters) this.#upsert.run(keyOf(id), bytes);
    });
  }

  async delete(ids: readonly string[]): Promise<void> {
    requireAdapterIds(ids);
    inTransaction(this.#database, () => {
      for (const id of ids) this.#delete.run(keyOf(id));
    });
  }

  async *entries(): AsyncGenerator<readonly StoredAdapter[]> {
    let after: Uint8Array = new Uint8Array(0);
    for (;;) {
      const rows = this.#selectAfter.all(after, ENTRIES_PER_READ) as { id: Uint8Array; bytes: Uint8Array }[];
      if (rows.length === 0) return;
      yield rows.map(({ id, bytes }) => ({ id: Buffer.from(id).toString('utf8'), bytes }));
      after = rows[rows.length - 1].id;
    }
  }

  /** Closes the file; the store is of no use afterwards. */
  close(): void {
    this.#database.close();
  }
}

function keyOf(id: string): Uint8Array {
  return Buffer.from(id, 'utf8');
}
