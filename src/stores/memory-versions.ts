/** Versions in the memory of this process, for tests. */
import {
  requireBlob,
  requireDate,
  requireHeadName,
  requireSha256,
  type StoredBlob,
  type StoredHead,
  sha256Of,
  type VersionStore,
} from '../versions/version-store.js';

export class MemoryVersionStore implements VersionStore {
  readonly #blobs = new Map<string, { bytes: Uint8Array; putAt: Date }>();
  readonly #heads = new Map<string, StoredHead>();
  #revisions = 0;

  async putBlob(bytes: Uint8Array): Promise<string> {
    const copy = new Uint8Array(requireBlob('bytes', bytes));
    const sha256 = sha256Of(copy);
    this.#blobs.set(sha256, { bytes: copy, putAt: new Date() });
    return sha256;
  }

  async getBlob(sha256: string): Promise<Uint8Array | undefined> {
    return this.#blobs.get(requireSha256('sha256', sha256))?.bytes.slice();
  }

  async deleteBlob(sha256: string, putBefore: Date): Promise<boolean> {
    requireDate('putBefore', putBefore);
    const blob = this.#blobs.get(requireSha256('sha256', sha256));
    return blob !== undefined && blob.putAt < putBefore && this.#blobs.delete(sha256);
  }

  async *listBlobs(): AsyncIterable<StoredBlob> {
    for (const [sha256, { bytes, putAt }] of this.#blobs) yield { sha256, sizeBytes: bytes.length, putAt };
  }

  async getHead(name: string): Promise<StoredHead | undefined> {
    const head = this.#heads.get(requireHeadName(name));
    return head && { bytes: head.bytes.slice(), revision: head.revision };
  }

  async setHead(name: string, bytes: Uint8Array, expected: string | undefined): Promise<string | undefined> {
    requireHeadName(name);
    const copy = new Uint8Array(requireBlob('bytes', bytes));
    if (this.#heads.get(name)?.revision !== expected) return undefined;
    const revision = `${++this.#revisions}`;
    this.#heads.set(name, { bytes: copy, revision });
    return revision;
  }

  async *listHeads(): AsyncIterable<string> {
    yield* this.#heads.keys();
  }
}
