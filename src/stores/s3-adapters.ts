/** Adapters in a bucket of S3, MinIO or Ceph: one object each. */
import { createHash } from 'node:crypto';
import {
  type AdapterStore,
  requireAdapterIds,
  requireStoredAdapters,
  type StoredAdapter,
} from '../versions/adapter-store.js';
import type { S3Options } from './s3-client.js';
import { S3Objects } from './s3-objects.js';

/** Requests at a time: enough to fill a connection pool of the SDK, which has 50 sockets. */
const CONCURRENCY = 32;

/**
 * A store in a bucket. An object's key is the SHA-256 of the adapter's id, so that any id will do and the ids are not told
 * to whoever may list the bucket. Every object is replaced whole, and read against the checksum written with it.
 */
export class S3AdapterStore implements AdapterStore {
  readonly #objects: S3Objects;

  private constructor(objects: S3Objects) {
    this.#objects = objects;
  }

  /** Rejects as S3Objects.open does. */
  static async open(options: S3Options): Promise<S3AdapterStore> {
    return new S3AdapterStore(await S3Objects.open(options));
  }

  /** Rejects with ERR_STORE_UNAVAILABLE, and ERR_STORE_FAILURE for an object that is not what was written. */
  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    requireAdapterIds(ids);
    const found = new Array<Uint8Array | undefined>(ids.length);
    await forEach(ids, async (id, i) => {
      found[i] = (await this.#objects.get(keyOf(id)))?.bytes;
    });
    return found;
  }

  /** Rejects with ERR_STORE_UNAVAILABLE. */
  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    requireStoredAdapters(adapters);
    await forEach(adapters, async ({ id, bytes }) => void (await this.#objects.put(keyOf(id), bytes)));
  }

  /** Rejects with ERR_STORE_UNAVAILABLE. */
  async delete(ids: readonly string[]): Promise<void> {
    requireAdapterIds(ids);
    await forEach([...new Set(ids)], (id) => this.#objects.delete(keyOf(id)));
  }

  close(): void {
    this.#objects.close();
  }
}

function keyOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

/** CONCURRENCY at a time; after a failure none is started, and it rejects once those under way have ended. */
async function forEach<T>(items: readonly T[], action: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const work = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      await action(items[index], index).catch((error) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, items.length) }, work));
  if (failures.length > 0) throw failures[0];
}
