/** Weights of the learning engine's adapters in a bucket of S3, MinIO or Ceph. */
import { type BlobPlace, NamedBlobStorage } from '../../learning/named-blobs.js';
import type { S3Options } from '../s3-client.js';
import { S3Objects } from '../s3-objects.js';

/** One object each, which is never overwritten, and is checked when it is read. */
export class S3BlobStorage extends NamedBlobStorage {
  readonly #objects: S3Objects;

  private constructor(objects: S3Objects) {
    super(new Bucket(objects));
    this.#objects = objects;
  }

  /** Rejects as S3Objects.open does. */
  static async open(options: S3Options): Promise<S3BlobStorage> {
    return new S3BlobStorage(await S3Objects.open(options));
  }

  /** Closes the connections, unless the client is the caller's. */
  close(): void {
    this.#objects.close();
  }
}

class Bucket implements BlobPlace {
  readonly #objects: S3Objects;

  constructor(objects: S3Objects) {
    this.#objects = objects;
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    if ((await this.#objects.create(name, bytes)) === undefined) throw new Error(`${name} is there already`);
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    return (await this.#objects.get(name))?.bytes;
  }

  size(name: string): Promise<number | undefined> {
    return this.#objects.size(name);
  }

  remove(name: string): Promise<void> {
    return this.#objects.delete(name);
  }
}
