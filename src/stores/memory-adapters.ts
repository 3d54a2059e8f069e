/** Adapters in the memory of this process, for tests and for services whose users need not outlive it. */
import {
  type AdapterCollection,
  requireAdapterIds,
  requireStoredAdapters,
  type StoredAdapter,
} from '../versions/adapter-store.js';

export class MemoryAdapterStore implements AdapterCollection {
  readonly #bytes = new Map<string, Uint8Array>();

  /** Adapters held. */
  get size(): number {
    return this.#bytes.size;
  }

  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    requireAdapterIds(ids);
    return ids.map((id) => this.#bytes.get(id)?.slice());
  }

  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    requireStoredAdapters(adapters);
    for (const { id, bytes } of adapters) this.#bytes.set(id, new Uint8Array(bytes));
  }

  async delete(ids: readonly string[]): Promise<void> {
    requireAdapterIds(ids);
    for (const id of ids) this.#bytes.delete(id);
  }

  async *entries(): AsyncGenerator<readonly StoredAdapter[]> {
    for (const [id, bytes] of this.#bytes) yield [{ id, bytes: bytes.slice() }];
  }
}
