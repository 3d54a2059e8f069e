/** Storages in memory that go wrong at a chosen call, and what is in them. */
import { randomUUID } from 'node:crypto';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import { type AdapterMetadata, versionOf } from '../../src/learning/adapter-metadata.js';
import { InMemoryAdapterStorage } from '../../src/learning/memory-storage.js';
import { failure, type Result, success, type Unit } from '../../src/learning/result.js';
import type { AdapterBlobStorage, AdapterStorage } from '../../src/learning/storage.js';

export class Blobs implements AdapterBlobStorage {
  readonly content = new Map<string, Uint8Array>();

  async storeWeights(id: AdapterId, weights: Uint8Array): Promise<Result<string>> {
    const path = `${id}-${randomUUID()}`;
    this.content.set(path, weights);
    return success(path);
  }

  async getWeights(path: string): Promise<Result<Uint8Array>> {
    const found = this.content.get(path);
    return found ? success(found) : failure(`File not found: ${path}`);
  }

  async deleteWeights(path: string): Promise<Result<Unit>> {
    this.content.delete(path);
    return success(undefined);
  }

  async getWeightsSize(path: string): Promise<Result<number>> {
    return (await this.getWeights(path)).map((weights) => weights.length);
  }
}

/**
 * - fails, throws: the call does nothing and says so
 * - loses: the call does what it should, and throws
 * - cancels: the caller gives up meanwhile, and the call does nothing
 * - ignores: the caller gives up meanwhile, and the call does what it should all the same
 */
export const FAULTS = ['fails', 'throws', 'loses', 'cancels', 'ignores'] as const;
export type Fault = (typeof FAULTS)[number];

export class Storages {
  readonly metadata = new InMemoryAdapterStorage();
  readonly blobs = new Blobs();
  /** Every call so far, by name. */
  readonly calls: string[] = [];
  readonly abort = new AbortController();
  #fault: { call: number; fault: Fault } | undefined;

  /** The call of that number, counted from now on from 0, goes wrong. */
  breakAt(call: number, fault: Fault): void {
    this.calls.length = 0;
    this.#fault = { call, fault };
  }

  get faultyMetadata(): AdapterStorage {
    return this.#faulty(this.metadata);
  }

  get faultyBlobs(): AdapterBlobStorage {
    return this.#faulty(this.blobs);
  }

  async copy(): Promise<Storages> {
    const copy = new Storages();
    for (const metadata of (await this.metadata.listAdapters()).value) await copy.metadata.storeMetadata(metadata);
    for (const [path, bytes] of this.blobs.content) copy.blobs.content.set(path, bytes);
    return copy;
  }

  /** All that is stored, to be compared. */
  async content(): Promise<unknown> {
    const metadata = (await this.metadata.listAdapters()).value;
    return { metadata: metadata.map((each) => ({ ...each })), blobs: [...this.blobs.content.keys()].sort() };
  }

  /** Blobs that no metadata lead to, and paths in metadata that lead nowhere. */
  async orphans(): Promise<{ orphans: string[]; dangling: string[] }> {
    const wanted = new Set((await this.metadata.listAdapters()).value.flatMap(pathsOf));
    const there = [...this.blobs.content.keys()];
    return {
      orphans: there.filter((path) => !wanted.has(path)),
      dangling: [...wanted].filter((path) => !this.blobs.content.has(path)),
    };
  }

  #faulty<T extends object>(storage: T): T {
    return new Proxy(storage, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<Result<unknown>>;
        return async (...args: unknown[]) => {
          const fault = this.#fault?.call === this.calls.length ? this.#fault.fault : undefined;
          this.calls.push(String(name));
          if (fault === 'cancels' || fault === 'ignores') this.abort.abort();
          if (fault === 'fails') return failure('broken');
          if (fault === 'throws') throw new Error('broken');
          if (fault === 'cancels') return failure('Operation cancelled');
          const result = await method.apply(target, args);
          if (fault === 'loses') throw new Error('lost');
          return result;
        };
      },
    });
  }
}

function pathsOf(metadata: AdapterMetadata): string[] {
  return [versionOf(metadata), ...metadata.history].flatMap(({ blobStoragePath, memoryStoragePath }) =>
    memoryStoragePath === undefined ? [blobStoragePath] : [blobStoragePath, memoryStoragePath],
  );
}
