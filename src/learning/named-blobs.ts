/** What storages of weights have in common: names, checks and messages, over four calls of a place to keep bytes in. */
import { createHash, randomBytes } from 'node:crypto';
import { type AdapterId, parseAdapterId } from './adapter-id.js';
import { messageOf, untilAborted } from './attempt.js';
import { notBlank } from './checks.js';
import { failure, type Result, success, type Unit } from './result.js';
import { type AdapterBlobStorage, CANCELLED, type StorageOptions } from './storage.js';

/** Its failures are thrown. */
export interface BlobPlace {
  /** Under a name that nothing has had before: whole or not at all. */
  create(name: string, bytes: Uint8Array): Promise<void>;
  /** undefined where there is none. */
  read(name: string): Promise<Uint8Array | undefined>;
  size(name: string): Promise<number | undefined>;
  /** Also where there is none. */
  remove(name: string): Promise<void>;
}

/** No name of ours leads anywhere else, whatever a path is made of. */
const NAME = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-([0-9a-f]{64})-[0-9a-f]{16}\.bin$/;

/**
 * Paths are names, `<id>-<SHA-256>-<16 random digits>.bin`, against which weights are checked when they are read; what has
 * another form is not found. Failures of the place read `Failed to store weights: …`, `Failed to retrieve weights: …`,
 * `Failed to delete weights: …`, `Failed to get weights size: …`.
 */
export abstract class NamedBlobStorage implements AdapterBlobStorage {
  readonly #place: BlobPlace;

  protected constructor(place: BlobPlace) {
    this.#place = place;
  }

  async storeWeights(id: AdapterId, weights: Uint8Array, { signal }: StorageOptions = {}): Promise<Result<string>> {
    if (signal?.aborted) return failure(CANCELLED);
    if (!(weights instanceof Uint8Array) || weights.length === 0) return failure('Weights cannot be empty');
    const known = parseAdapterId(id);
    if (!known.hasValue) return failure(`Failed to store weights: ${id} is no id of an adapter`);
    const name = `${known.value}-${sha256Of(weights)}-${randomBytes(8).toString('hex')}.bin`;
    try {
      await this.#place.create(name, weights);
      if (!signal?.aborted) return success(name);
    } catch (error) {
      await this.#removeRest(name);
      return failure(`Failed to store weights: ${messageOf(error)}`);
    }
    await this.#removeRest(name);
    return failure(CANCELLED);
  }

  async getWeights(path: string, { signal }: StorageOptions = {}): Promise<Result<Uint8Array>> {
    return this.#at('Failed to retrieve weights', path, signal, async (name, sha256) => {
      const bytes = await untilAborted(this.#place.read(name), signal);
      if (bytes && sha256Of(bytes) !== sha256) throw new Error(`${path} has not the bytes that were stored`);
      return bytes;
    });
  }

  async getWeightsSize(path: string, { signal }: StorageOptions = {}): Promise<Result<number>> {
    return this.#at('Failed to get weights size', path, signal, (name) => untilAborted(this.#place.size(name), signal));
  }

  async deleteWeights(path: string, { signal }: StorageOptions = {}): Promise<Result<Unit>> {
    const deleted = await this.#at('Failed to delete weights', path, signal, async (name) => {
      await this.#place.remove(name);
      return true;
    });
    return deleted.match<Result<Unit>>(
      () => success(undefined),
      (error) => (error === notFound(path) ? success(undefined) : failure(error)),
    );
  }

  async #at<T>(
    what: string,
    path: string,
    signal: AbortSignal | undefined,
    use: (name: string, sha256: string) => Promise<T | undefined>,
  ): Promise<Result<T>> {
    if (signal?.aborted) return failure(CANCELLED);
    const checked = notBlank('Path', path);
    if (checked.isFailure) return failure(checked.error);
    const [name, sha256] = NAME.exec(path) ?? [];
    if (name === undefined) return failure(notFound(path));
    try {
      const found = await use(name, sha256);
      return found === undefined ? failure(notFound(path)) : success(found);
    } catch (error) {
      return failure(signal?.aborted ? CANCELLED : `${what}: ${messageOf(error)}`);
    }
  }

  /** What a write may have left all the same: nothing leads to it yet. */
  async #removeRest(name: string): Promise<void> {
    await this.#place.remove(name).catch(() => {});
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function notFound(path: string): string {
  return `File not found: ${path}`;
}
