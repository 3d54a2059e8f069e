/** Weights in memory: for development and tests, and the reference for other storages. */
import { NamedBlobStorage } from './named-blobs.js';

export class InMemoryBlobStorage extends NamedBlobStorage {
  readonly #blobs: Map<string, Uint8Array>;

  constructor() {
    const blobs = new Map<string, Uint8Array>();
    super({
      create: async (name, bytes) => void blobs.set(name, new Uint8Array(bytes)),
      read: async (name) => blobs.get(name)?.slice(),
      size: async (name) => blobs.get(name)?.length,
      remove: async (name) => void blobs.delete(name),
    });
    this.#blobs = blobs;
  }

  /** How many blobs there are. */
  get count(): number {
    return this.#blobs.size;
  }
}
