/** Versions in Postgres: heads in one of its tables, blobs in others or in another store. */
import { randomUUID } from 'node:crypto';
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  type BlobStore,
  requireBlob,
  requireHeadName,
  type StoredBlob,
  type StoredHead,
  type VersionStore,
} from '../../versions/version-store.js';
import { PostgresBlobs } from './blobs.js';
import { POSTGRES_OPTIONS, PostgresDatabase, type PostgresOptions } from './database.js';
import type { MigrationSet } from './migrations.js';
import { keyOf, requireValue } from './values.js';

export interface PostgresVersionOptions extends PostgresOptions {
  /** Where blobs lie, e.g. an S3VersionStore, which stays open; default: in the same database. */
  blobs?: BlobStore;
}

const VERSION_TABLES: MigrationSet = {
  part: 'versions',
  steps: [
    // weights do not compress, and trying costs
    (schema) => `
      CREATE TABLE ${schema}.version_heads (name bytea PRIMARY KEY, revision uuid NOT NULL, bytes bytea NOT NULL);
      CREATE TABLE ${schema}.version_blobs (
        sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
        size_bytes bigint NOT NULL,
        put_at timestamptz NOT NULL
      );
      CREATE TABLE ${schema}.version_chunks (
        sha256 bytea NOT NULL REFERENCES ${schema}.version_blobs ON DELETE CASCADE,
        starts_at bigint NOT NULL,
        bytes bytea NOT NULL,
        PRIMARY KEY (sha256, starts_at)
      );
      ALTER TABLE ${schema}.version_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;`,
  ],
};

const BLOB_METHODS = ['putBlob', 'getBlob', 'deleteBlob', 'listBlobs'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PAGE_ROWS = 1000;

/** A store for any number of machines. Times are those of the server's clock. A head has at most 128 MiB. */
export class PostgresVersionStore implements VersionStore {
  readonly #database: PostgresDatabase;
  readonly #heads: string;
  readonly #blobs: BlobStore;

  private constructor(database: PostgresDatabase, blobs: BlobStore) {
    this.#database = database;
    this.#heads = `${database.schema}.version_heads`;
    this.#blobs = blobs;
  }

  /**
   * Connects, and makes the tables when missing. Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package
   * pg is not installed, the server cannot be reached or refuses, or a later lorakeet has made the tables.
   */
  static async open(options: PostgresVersionOptions = {}): Promise<PostgresVersionStore> {
    rejectUnknownKeys('options', options, [...POSTGRES_OPTIONS, 'blobs']);
    const { blobs } = options;
    if (blobs !== undefined && !BLOB_METHODS.every((method) => typeof blobs?.[method] === 'function')) {
      fail('ERR_INVALID_CONFIG', 'options.blobs', blobs, `a store with ${BLOB_METHODS.join(', ')}`);
    }
    const database = await PostgresDatabase.open(options, VERSION_TABLES);
    return new PostgresVersionStore(database, blobs ?? new PostgresBlobs(database));
  }

  putBlob(bytes: Uint8Array): Promise<string> {
    return this.#blobs.putBlob(bytes);
  }

  getBlob(sha256: string): Promise<Uint8Array | undefined> {
    return this.#blobs.getBlob(sha256);
  }

  deleteBlob(sha256: string, putBefore: Date): Promise<boolean> {
    return this.#blobs.deleteBlob(sha256, putBefore);
  }

  listBlobs(): AsyncIterable<StoredBlob> {
    return this.#blobs.listBlobs();
  }

  async getHead(name: string): Promise<StoredHead | undefined> {
    const key = keyOf(requireHeadName(name));
    const sql = `SELECT revision::text, bytes FROM ${this.#heads} WHERE name = $1`;
    const [row] = await this.#database.query<{ revision: string; bytes: Uint8Array }>(sql, [key]);
    return row && { bytes: new Uint8Array(row.bytes), revision: row.revision };
  }

  /**
   * One conditional statement. When its answer is lost it is sent again, with the same revision: then it has happened if the
   * head has that one. Rejects with ERR_STORE_UNAVAILABLE if that cannot be told any more.
   */
  async setHead(name: string, bytes: Uint8Array, expected: string | undefined): Promise<string | undefined> {
    const key = keyOf(requireHeadName(name));
    requireValue('bytes', requireBlob('bytes', bytes));
    if (expected !== undefined && !UUID.test(expected)) return undefined;
    const revision = randomUUID();
    const write =
      expected === undefined
        ? `INSERT INTO ${this.#heads} (name, revision, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1 AS written`
        : `UPDATE ${this.#heads} SET revision = $2, bytes = $3 WHERE name = $1 AND revision = $4 RETURNING 1 AS written`;
    const values = expected === undefined ? [key, revision, bytes] : [key, revision, bytes, expected];
    return this.#database.run(async (query, uncertain) => {
      const written = await query(write, values);
      if (written.length === 1) return revision;
      if (!uncertain) return undefined;
      const select = `SELECT revision::text FROM ${this.#heads} WHERE name = $1`;
      const [row] = await query<{ revision: string }>(select, [key]);
      if (row?.revision === revision) return revision;
      const what = `the connection was lost while the head of ${name} was written; whether it was is unknown`;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', `Postgres: ${what}, for another one came next`);
    });
  }

  /** A page at a time. */
  async *listHeads(): AsyncIterable<string> {
    const sql = `SELECT name FROM ${this.#heads} WHERE name > $1 ORDER BY name LIMIT ${PAGE_ROWS}`;
    let last = new Uint8Array(0);
    for (;;) {
      const rows = await this.#database.query<{ name: Uint8Array }>(sql, [last]);
      for (const { name } of rows) yield Buffer.from(name).toString('utf8');
      if (rows.length < PAGE_ROWS) return;
      last = Buffer.from(rows[rows.length - 1].name);
    }
  }

  /** Closes the connections, unless the pool is the caller's; the store is of no use afterwards. */
  close(): Promise<void> {
    return this.#database.close();
  }
}
