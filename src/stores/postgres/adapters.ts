/** Adapters in a table of Postgres: durable, shared by any number of machines. */
import { createHash } from 'node:crypto';
import { rejectUnknownKeys } from '../../checks.js';
import {
  type AdapterStore,
  requireAdapterIds,
  requireStoredAdapters,
  type StoredAdapter,
} from '../../versions/adapter-store.js';
import { POSTGRES_OPTIONS, PostgresDatabase, type PostgresOptions, type Query } from './database.js';
import type { MigrationSet } from './migrations.js';
import { keyOf, requireValue } from './values.js';

const ADAPTER_TABLES: MigrationSet = {
  part: 'adapters',
  steps: [
    // ids of any length have a key that an index takes
    (schema) => `
      CREATE TABLE ${schema}.stored_adapters (
        key bytea PRIMARY KEY GENERATED ALWAYS AS (sha256(id)) STORED,
        id bytea NOT NULL,
        bytes bytea NOT NULL
      );
      ALTER TABLE ${schema}.stored_adapters ALTER COLUMN bytes SET STORAGE EXTERNAL;`,
  ],
};

/** Of one statement. */
const MAX_ROWS = 1000;
const MAX_BYTES = 16 * 2 ** 20;

/** Every save is one transaction: all of it or nothing. An adapter has at most 128 MiB. */
export class PostgresAdapterStore implements AdapterStore {
  readonly #database: PostgresDatabase;
  readonly #table: string;

  private constructor(database: PostgresDatabase) {
    this.#database = database;
    this.#table = `${database.schema}.stored_adapters`;
  }

  /**
   * Connects, and makes the table when missing. Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package
   * pg is not installed, the server cannot be reached or refuses, or a later lorakeet has made the table.
   */
  static async open(options: PostgresOptions = {}): Promise<PostgresAdapterStore> {
    rejectUnknownKeys('options', options, POSTGRES_OPTIONS);
    return new PostgresAdapterStore(await PostgresDatabase.open(options, ADAPTER_TABLES));
  }

  /** Rejects with ERR_STORE_UNAVAILABLE. */
  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    requireAdapterIds(ids);
    const keys = ids.map((id) => createHash('sha256').update(id).digest());
    const found = new Map<string, Uint8Array>();
    for (let start = 0; start < keys.length; start += MAX_ROWS) {
      const sql = `SELECT encode(key, 'hex') AS key, bytes FROM ${this.#table} WHERE key = ANY($1::bytea[])`;
      const batch = keys.slice(start, start + MAX_ROWS);
      const rows = await this.#database.query<{ key: string; bytes: Uint8Array }>(sql, [batch]);
      for (const { key, bytes } of rows) found.set(key, bytes);
    }
    return keys.map((key) => {
      const bytes = found.get(key.toString('hex'));
      return bytes && new Uint8Array(bytes);
    });
  }

  /** Rejects with ERR_STORE_UNAVAILABLE. */
  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    requireStoredAdapters(adapters);
    const rows = adapters.map(({ id, bytes }, i): Row => [keyOf(id), requireValue(`adapters[${i}].bytes`, bytes)]);
    // always in this order: calls that wait for each other in different orders would wait for ever
    rows.sort(([a], [b]) => Buffer.compare(a, b));
    const batches = batchesOf(rows);
    if (batches.length === 1) await this.#save(this.#database.query, batches[0]);
    if (batches.length <= 1) return;
    await this.#database.transaction(async (query) => {
      for (const batch of batches) await this.#save(query, batch);
    });
  }

  /** Rejects with ERR_STORE_UNAVAILABLE. */
  async delete(ids: readonly string[]): Promise<void> {
    requireAdapterIds(ids);
    if (ids.length === 0) return;
    const keys = ids.map((id) => createHash('sha256').update(id).digest());
    await this.#database.query(`DELETE FROM ${this.#table} WHERE key = ANY($1::bytea[])`, [keys]);
  }

  /** Closes the connections, unless the pool is the caller's; the store is of no use afterwards. */
  close(): Promise<void> {
    return this.#database.close();
  }

  async #save(query: Query, rows: readonly Row[]): Promise<void> {
    const values = rows.map((_, i) => `($${2 * i + 1}::bytea, $${2 * i + 2}::bytea)`);
    const sql = `
      INSERT INTO ${this.#table} (id, bytes) VALUES ${values.join(', ')}
      ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes`;
    await query(sql, rows.flat());
  }
}

type Row = [id: Uint8Array, bytes: Uint8Array];

function batchesOf(rows: readonly Row[]): Row[][] {
  const batches: Row[][] = [];
  let size = 0;
  for (const row of rows) {
    size += row[1].length;
    const last = batches.at(-1);
    if (last && last.length < MAX_ROWS && size <= MAX_BYTES) {
      last.push(row);
    } else {
      batches.push([row]);
      size = row[1].length;
    }
  }
  return batches;
}
