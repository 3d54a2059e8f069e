/**
 * Versions in a bucket of S3, MinIO or Ceph, below the prefix:
 *
 *   blobs/abcdef…        an object for each content, named by its SHA-256: the bytes and nothing else
 *   heads/team:feed      an object for each adapter, slashes as colons: a line that is there once, then the head
 */
import { randomUUID } from 'node:crypto';
import { LorakeetError } from '../errors.js';
import {
  hashBlob,
  isHeadName,
  isSha256,
  requireBlob,
  requireDate,
  requireHeadName,
  requireSha256,
  type StoredBlob,
  type StoredHead,
  type VersionStore,
} from '../versions/version-store.js';
import type { S3Options } from './s3-client.js';
import { S3Objects } from './s3-objects.js';

const BLOBS = 'blobs/';
const HEADS = 'heads/';
/** A UUID and a line feed. */
const FIRST_LINE_BYTES = 37;

/**
 * A store in a bucket, used by any number of processes anywhere. All methods reject with ERR_STORE_UNAVAILABLE where the
 * server cannot be reached or refuses.
 */
export class S3VersionStore implements VersionStore {
  readonly #objects: S3Objects;

  private constructor(objects: S3Objects) {
    this.#objects = objects;
  }

  /** Rejects as S3Objects.open does. */
  static async open(options: S3Options): Promise<S3VersionStore> {
    return new S3VersionStore(await S3Objects.open(options));
  }

  /** Without a condition: whoever writes this key writes the same bytes, and one that is damaged is replaced. */
  async putBlob(bytes: Uint8Array): Promise<string> {
    const sha256 = await hashBlob(requireBlob('bytes', bytes));
    await this.#objects.put(BLOBS + sha256, bytes);
    return sha256;
  }

  async getBlob(sha256: string): Promise<Uint8Array | undefined> {
    return this.#objects.getUnchecked(BLOBS + requireSha256('sha256', sha256), sha256);
  }

  /** In one step in a bucket with versioning; without, a put between its two requests is lost. */
  async deleteBlob(sha256: string, putBefore: Date): Promise<boolean> {
    requireDate('putBefore', putBefore);
    return this.#objects.deleteUnlessSince(BLOBS + requireSha256('sha256', sha256), putBefore);
  }

  async *listBlobs(): AsyncIterable<StoredBlob> {
    for await (const { key, sizeBytes, modifiedAt } of this.#objects.list(BLOBS)) {
      const sha256 = key.slice(BLOBS.length);
      if (isSha256(sha256)) yield { sha256, sizeBytes, putAt: modifiedAt };
    }
  }

  async getHead(name: string): Promise<StoredHead | undefined> {
    const found = await this.#objects.get(keyOf(name));
    if (!found) return undefined;
    const { bytes, etag } = found;
    if (bytes[FIRST_LINE_BYTES - 1] !== 0x0a) {
      throw new LorakeetError('ERR_STORE_FAILURE', `${keyOf(name)}: got another first line, expected a UUID`);
    }
    return { bytes: bytes.subarray(FIRST_LINE_BYTES), revision: etag };
  }

  async setHead(name: string, bytes: Uint8Array, expected: string | undefined): Promise<string | undefined> {
    const key = keyOf(name);
    // the same bytes have the same etag, and no revision may come back
    const content = Buffer.concat([Buffer.from(`${randomUUID()}\n`), requireBlob('bytes', bytes)]);
    return expected === undefined ? this.#objects.create(key, content) : this.#objects.replace(key, content, expected);
  }

  async *listHeads(): AsyncIterable<string> {
    for await (const { key } of this.#objects.list(HEADS)) {
      const name = key.slice(HEADS.length).replaceAll(':', '/');
      // what others have put there is none
      if (isHeadName(name) && keyOf(name) === key) yield name;
    }
  }

  /** Closes the connections of a client that was made here. */
  close(): void {
    this.#objects.close();
  }
}

/** One level only: not every server has both `a` and `a/b`. No name of an adapter has a colon. */
function keyOf(name: string): string {
  return HEADS + requireHeadName(name).replaceAll('/', ':');
}
