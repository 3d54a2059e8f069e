/** Blobs in Postgres: a row each, its bytes in chunks of a table beside it, so that no value gets too large. */
import { LorakeetError } from '../../errors.js';
import {
  type BlobStore,
  hashBlob,
  requireBlob,
  requireDate,
  requireSha256,
  type StoredBlob,
} from '../../versions/version-store.js';
import type { PostgresDatabase } from './database.js';

/** Part of the schema: a chunk stands at a multiple of it. */
const CHUNK_BYTES = 4 * 2 ** 20;
const PAGE_ROWS = 1000;

export class PostgresBlobs implements BlobStore {
  readonly #database: PostgresDatabase;
  readonly #blobs: string;
  readonly #chunks: string;

  /** Over tables of VERSION_TABLES. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
    this.#blobs = `${database.schema}.version_blobs`;
    this.#chunks = `${database.schema}.version_chunks`;
  }

  /** In one statement if it is one chunk. A blob that lacks chunks gets them; one that is damaged is replaced. */
  async putBlob(bytes: Uint8Array): Promise<string> {
    const sha256 = await hashBlob(requireBlob('bytes', bytes));
    const key = Buffer.from(sha256, 'hex');
    const mend = `
      ON CONFLICT (sha256, starts_at) DO UPDATE SET bytes = excluded.bytes WHERE chunk.bytes <> excluded.bytes`;
    const put = `
      WITH blob AS (
        INSERT INTO ${this.#blobs} (sha256, size_bytes, put_at) VALUES ($1, $2, date_trunc('milliseconds', clock_timestamp()))
        ON CONFLICT (sha256) DO UPDATE SET put_at = excluded.put_at
        RETURNING sha256
      )
      INSERT INTO ${this.#chunks} AS chunk (sha256, starts_at, bytes) SELECT sha256, 0, $3::bytea FROM blob ${mend}`;
    const first = [key, bytes.length, bytes.subarray(0, CHUNK_BYTES)];
    if (bytes.length <= CHUNK_BYTES) {
      await this.#database.query(put, first);
      return sha256;
    }
    const add = `INSERT INTO ${this.#chunks} AS chunk (sha256, starts_at, bytes) VALUES ($1, $2, $3) ${mend}`;
    await this.#database.transaction(async (query) => {
      await query(put, first);
      for (let start = CHUNK_BYTES; start < bytes.length; start += CHUNK_BYTES) {
        await query(add, [key, start, bytes.subarray(start, start + CHUNK_BYTES)]);
      }
    });
    return sha256;
  }

  /** Chunk by chunk; what a content's chunk holds never changes, so that they need not be read at one moment. */
  async getBlob(sha256: string): Promise<Uint8Array | undefined> {
    const key = Buffer.from(requireSha256('sha256', sha256), 'hex');
    const select = `
      SELECT blob.size_bytes::text, chunk.bytes FROM ${this.#blobs} AS blob
      LEFT JOIN ${this.#chunks} AS chunk ON chunk.sha256 = blob.sha256 AND chunk.starts_at = $2
      WHERE blob.sha256 = $1`;
    let bytes: Uint8Array | undefined;
    let position = 0;
    do {
      const [row] = await this.#database.query<{ size_bytes: string; bytes: Uint8Array | null }>(select, [
        key,
        position,
      ]);
      if (!row) return undefined;
      bytes ??= new Uint8Array(Number(row.size_bytes));
      const chunk = row.bytes;
      if (chunk?.length !== Math.min(CHUNK_BYTES, bytes.length - position)) {
        throw new LorakeetError('ERR_STORE_FAILURE', `blob ${sha256}: its chunk at ${position} is not there, whole`);
      }
      bytes.set(chunk, position);
      position += chunk.length;
    } while (position < bytes.length);
    return bytes;
  }

  /** Not repeated when its answer is lost: a second one could not tell what the first has done. */
  async deleteBlob(sha256: string, putBefore: Date): Promise<boolean> {
    requireDate('putBefore', putBefore);
    const key = Buffer.from(requireSha256('sha256', sha256), 'hex');
    const sql = `DELETE FROM ${this.#blobs} WHERE sha256 = $1 AND put_at < $2 RETURNING 1 AS removed`;
    const rows = await this.#database.run((query) => query(sql, [key, putBefore]), false);
    return rows.length === 1;
  }

  /** A page at a time. */
  async *listBlobs(): AsyncIterable<StoredBlob> {
    const sql = `
      SELECT encode(sha256, 'hex') AS sha256, size_bytes::text, (extract(epoch FROM put_at) * 1000)::bigint::text AS put_at
      FROM ${this.#blobs} WHERE version_blobs.sha256 > $1 ORDER BY version_blobs.sha256 LIMIT ${PAGE_ROWS}`;
    let last = new Uint8Array(0);
    for (;;) {
      const rows = await this.#database.query<{ sha256: string; size_bytes: string; put_at: string }>(sql, [last]);
      for (const { sha256, size_bytes, put_at } of rows) {
        yield { sha256, sizeBytes: Number(size_bytes), putAt: new Date(Number(put_at)) };
      }
      if (rows.length < PAGE_ROWS) return;
      last = Buffer.from(rows[rows.length - 1].sha256, 'hex');
    }
  }
}
