/** Metadata in memory: for development, and the reference for other storages. */
import type { AdapterId } from './adapter-id.js';
import type { AdapterMetadata } from './adapter-metadata.js';
import { notBlank } from './checks.js';
import { encodeMetadata } from './metadata-json.js';
import { failure, type Result, success, type Unit } from './result.js';
import { type AdapterStorage, CANCELLED, type StorageOptions } from './storage.js';
import { oldestFirst, taskKey } from './text-storage.js';

export class InMemoryAdapterStorage implements AdapterStorage {
  readonly #adapters = new Map<AdapterId, AdapterMetadata>();

  get count(): number {
    return this.#adapters.size;
  }

  clear(): void {
    this.#adapters.clear();
  }

  async storeMetadata(metadata: AdapterMetadata, options?: StorageOptions): Promise<Result<Unit>> {
    if (options?.signal?.aborted) return failure(CANCELLED);
    const encoded = encodeMetadata(metadata);
    if (encoded.isFailure) return failure(encoded.error);
    this.#adapters.set(metadata.id, metadata);
    return success(undefined);
  }

  async getMetadata(id: AdapterId, options?: StorageOptions): Promise<Result<AdapterMetadata>> {
    if (options?.signal?.aborted) return failure(CANCELLED);
    const metadata = this.#adapters.get(id);
    return metadata ? success(metadata) : failure(`Adapter not found: ${id}`);
  }

  async getAdaptersByTask(taskName: string, options?: StorageOptions): Promise<Result<AdapterMetadata[]>> {
    if (options?.signal?.aborted) return failure(CANCELLED);
    return notBlank('Task name', taskName).map(() =>
      this.#sorted().filter((metadata) => taskKey(metadata.taskName) === taskKey(taskName)),
    );
  }

  async listAdapters(options?: StorageOptions): Promise<Result<AdapterMetadata[]>> {
    return options?.signal?.aborted ? failure(CANCELLED) : success(this.#sorted());
  }

  async updateMetadata(metadata: AdapterMetadata, options?: StorageOptions): Promise<Result<Unit>> {
    if (options?.signal?.aborted) return failure(CANCELLED);
    const encoded = encodeMetadata(metadata);
    if (encoded.isFailure) return failure(encoded.error);
    const present = this.#adapters.get(metadata.id);
    if (!present) return failure(`Adapter not found: ${metadata.id}`);
    if (present.version !== metadata.version - 1) return failure(`Adapter changed meanwhile: ${metadata.id}`);
    this.#adapters.set(metadata.id, metadata);
    return success(undefined);
  }

  async deleteMetadata(id: AdapterId, options?: StorageOptions): Promise<Result<Unit>> {
    if (options?.signal?.aborted) return failure(CANCELLED);
    this.#adapters.delete(id);
    return success(undefined);
  }

  #sorted(): AdapterMetadata[] {
    return [...this.#adapters.values()].sort(oldestFirst);
  }
}
