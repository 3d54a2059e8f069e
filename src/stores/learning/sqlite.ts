/** Metadata of the learning engine's adapters in one SQLite file. */
import { LorakeetError } from '../../errors.js';
import {
  type MetadataRow,
  type MetadataTable,
  type NewMetadataRow,
  type Replacement,
  TextAdapterStorage,
} from '../../learning/text-storage.js';
import { openSqliteFile, type SqliteDatabase } from '../../sqlite.js';

const SCHEMA_VERSION = 1;
/** Texts that are compared are kept as UTF-8 bytes: SQLite's text functions, collations and NUL have no say. */
const SCHEMA = `
  CREATE TABLE adapter_metadata (
    id TEXT PRIMARY KEY,
    task BLOB NOT NULL,
    version INTEGER NOT NULL,
    metadata TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX adapter_metadata_by_task ON adapter_metadata (task);`;

/**
 * A storage in a file. What a call has acknowledged survives the process and the power. Calls do their work before they return,
 * on the calling thread; other threads and processes may have the file open too.
 */
export class SqliteAdapterStorage extends TextAdapterStorage {
  readonly #database: SqliteDatabase;

  /**
   * Opens the file, made when missing, in a folder that exists. Throws ERR_SQLITE_UNAVAILABLE where there is no SQLite
   * (Node before 22.13 without the package @photostructure/sqlite), ERR_STORE_UNAVAILABLE for a file that cannot be opened
   * or is something else.
   */
  constructor(path: string) {
    const database = openSqliteFile(path, 'a storage of adapters', SCHEMA, SCHEMA_VERSION);
    try {
      super(new SqliteTable(database));
    } catch (cause) {
      database.close();
      const text = `cannot use ${path} as a storage of adapters: ${(cause as Error).message}`;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause });
    }
    this.#database = database;
  }

  /** Closes the file; afterwards every call fails. */
  close(): void {
    this.#database.close();
  }
}

class SqliteTable implements MetadataTable {
  readonly #select: ReturnType<SqliteDatabase['prepare']>;
  readonly #selectTask: ReturnType<SqliteDatabase['prepare']>;
  readonly #selectAll: ReturnType<SqliteDatabase['prepare']>;
  readonly #upsert: ReturnType<SqliteDatabase['prepare']>;
  readonly #update: ReturnType<SqliteDatabase['prepare']>;
  readonly #delete: ReturnType<SqliteDatabase['prepare']>;

  constructor(database: SqliteDatabase) {
    const columns = 'SELECT id, metadata AS text FROM adapter_metadata';
    this.#select = database.prepare(`${columns} WHERE id = ?`);
    this.#selectTask = database.prepare(`${columns} WHERE task = ?`);
    this.#selectAll = database.prepare(columns);
    this.#upsert = database.prepare(
      'INSERT OR REPLACE INTO adapter_metadata (id, task, version, metadata) VALUES (?, ?, ?, ?)',
    );
    this.#update = database.prepare(
      'UPDATE adapter_metadata SET task = ?, version = ?, metadata = ? WHERE id = ? AND version = ?',
    );
    this.#delete = database.prepare('DELETE FROM adapter_metadata WHERE id = ?');
  }

  async put({ id, task, version, text }: NewMetadataRow): Promise<void> {
    this.#upsert.run(id, Buffer.from(task), version, text);
  }

  async get(id: string): Promise<string | undefined> {
    return (this.#select.get(id) as MetadataRow | undefined)?.text;
  }

  async list(task: string | undefined): Promise<MetadataRow[]> {
    const rows = task === undefined ? this.#selectAll.all() : this.#selectTask.all(Buffer.from(task));
    return rows as unknown as MetadataRow[];
  }

  async replace({ id, task, version, text }: NewMetadataRow, expected: number): Promise<Replacement> {
    const { changes } = this.#update.run(Buffer.from(task), version, text, id, expected);
    if (changes > 0) return 'replaced';
    return (await this.get(id)) === undefined ? 'missing' : 'changed';
  }

  async remove(id: string): Promise<void> {
    this.#delete.run(id);
  }
}
