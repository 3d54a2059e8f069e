/** Where the engine's adapters lie: metadata and blobs together, so that no failure leaves the one without the other. */
import type { LanguageAdapterState } from '../llm/language-adapter.js';
import type { Logger } from '../logger.js';
import { type AdapterId, newAdapterId } from './adapter-id.js';
import { AdapterMetadata, type AdapterVersion, versionOf } from './adapter-metadata.js';
import { type AdapterMemory, decodeMemory, decodeWeights, encodeWeights } from './adapter-weights.js';
import { attempt, naming } from './attempt.js';
import { failure, type Result, success, type Unit } from './result.js';
import { type AdapterBlobStorage, type AdapterStorage, OUTCOME_UNKNOWN } from './storage.js';

/** How messages call an adapter that is stored for the first time. */
export type AdapterKind = 'adapter' | 'merged adapter';

export interface NewAdapter extends Pick<AdapterMetadata, 'taskName' | 'config' | 'parents' | 'mergeStrategy'> {
  kind: AdapterKind;
  state: LanguageAdapterState;
}

const FAILED_TO_STORE: Record<AdapterKind, string> = {
  adapter: 'Failed to store adapter weights',
  'merged adapter': 'Failed to store merged adapter',
};

export class AdapterVault {
  readonly #metadata: AdapterStorage;
  readonly #blobs: AdapterBlobStorage;
  readonly #baseModel: string;
  readonly #keptVersions: number;
  readonly #logger: Logger;

  /** `baseModel` is the hash of the model that all of it is for. */
  constructor(
    metadata: AdapterStorage,
    blobs: AdapterBlobStorage,
    { baseModel, keptVersions, logger }: { baseModel: string; keptVersions: number; logger: Logger },
  ) {
    this.#metadata = metadata;
    this.#blobs = blobs;
    this.#baseModel = baseModel;
    this.#keptVersions = keptVersions;
    this.#logger = logger;
  }

  async read(id: AdapterId, signal: AbortSignal | undefined): Promise<Result<AdapterMetadata>> {
    const metadata = await attempt(signal, () => this.#metadata.getMetadata(id, { signal }));
    return isMissing(id, metadata) ? metadata : naming('Adapter not found', metadata);
  }

  /**
   * What `use` gives for the present version; anew where it failed and another version has taken its place meanwhile, as the
   * blobs may then be gone.
   */
  async atPresent<T>(
    id: AdapterId,
    signal: AbortSignal | undefined,
    use: (metadata: AdapterMetadata) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    let metadata = await this.read(id, signal);
    while (metadata.isSuccess) {
      const result = await use(metadata.value);
      if (result.isSuccess) return result;
      const again = await this.read(id, signal);
      if (again.isFailure || again.value.version === metadata.value.version) return result;
      metadata = again;
    }
    return failure(metadata.error);
  }

  async weightsOf(
    what: string,
    { blobStoragePath, baseModel }: AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<LanguageAdapterState>> {
    if (baseModel !== this.#baseModel) return failure(`${what}: the adapter was made for another base model`);
    const bytes = await attempt(signal, () => this.#blobs.getWeights(blobStoragePath, { signal }));
    return naming(what, bytes.isFailure ? failure(bytes.error) : await decodeWeights(bytes.value));
  }

  async memoryOf(
    { memoryStoragePath }: AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<AdapterMemory>> {
    if (memoryStoragePath === undefined) return success({ examples: [] });
    const bytes = await attempt(signal, () => this.#blobs.getWeights(memoryStoragePath, { signal }));
    const what = 'Failed to retrieve adapter memory';
    return naming(what, bytes.isFailure ? failure(bytes.error) : await decodeMemory(bytes.value));
  }

  /** A new adapter. Whatever goes wrong, neither metadata nor a blob of it stays. */
  async storeNew(adapter: NewAdapter, signal: AbortSignal | undefined): Promise<Result<AdapterId>> {
    const { kind, taskName, config, state, ...origin } = adapter;
    const bytes = encodeWeights(kind, state);
    if (bytes.isFailure) return failure(bytes.error);
    const id = newAdapterId();
    const path = await attempt(signal, () => this.#blobs.storeWeights(id, bytes.value, { signal }));
    if (path.isFailure) return naming(FAILED_TO_STORE[kind], failure(path.error));
    const metadata = AdapterMetadata.create(id, taskName, config, path.value, this.#baseModel).with(origin);
    const stored = await attempt(signal, () => this.#metadata.storeMetadata(metadata, { signal }));
    if (stored.isFailure) {
      // Nobody has heard of the id yet: what was stored all the same, the answer being lost, has to go too.
      const gone = await this.#isRemoved(`metadata of ${id}`, () => this.#metadata.deleteMetadata(id));
      if (gone || !isUnknown(stored)) await this.#removeBlobs([path.value]);
    }
    return naming(`Failed to store ${kind} metadata`, stored).map(() => id);
  }

  /** The next version of an adapter: weights, memory, and the metadata that `next` makes of their paths. */
  async storeNext(
    id: AdapterId,
    weights: Uint8Array,
    memory: Uint8Array,
    next: (paths: { blobStoragePath: string; memoryStoragePath: string }) => AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<AdapterMetadata>> {
    const blob = await attempt(signal, () => this.#blobs.storeWeights(id, weights, { signal }));
    if (blob.isFailure) return naming('Failed to store trained weights', failure(blob.error));
    const memoryBlob = await attempt(signal, () => this.#blobs.storeWeights(id, memory, { signal }));
    if (memoryBlob.isFailure) {
      await this.#removeBlobs([blob.value]);
      return naming('Failed to store adapter memory', failure(memoryBlob.error));
    }
    const paths = { blobStoragePath: blob.value, memoryStoragePath: memoryBlob.value };
    const stored = await this.update(next(paths), Object.values(paths), signal);
    return naming('Failed to store trained metadata', stored);
  }

  /**
   * The next version's metadata. `written` are the blobs that were stored for it alone: they are removed where the present
   * version stays. What failed may have happened all the same, the answer being lost, so the storage is asked; where it does
   * not know, an orphan does less harm than metadata that lead to nothing.
   */
  async update(
    metadata: AdapterMetadata,
    written: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Result<AdapterMetadata>> {
    const { id } = metadata;
    const { kept, dropped } = this.#prune(metadata);
    const updated = await attempt(signal, () => this.#metadata.updateMetadata(kept, { signal }));
    if (updated.isFailure) {
      const present = await attempt(undefined, () => this.#metadata.getMetadata(id));
      const happened = present.isSuccess && isSame(versionOf(present.value), versionOf(kept));
      if (!happened) {
        const stays = (present.isSuccess || isMissing(id, present)) && !isUnknown(updated);
        if (stays) await this.#removeBlobs(written);
        else
          this.#logger.warn(`Adapter ${id}: version ${kept.version} may be stored; its blobs: ${written.join(', ')}`);
        return failure(updated.error);
      }
    }
    await this.#removeBlobs(dropped);
    return success(kept);
  }

  /** The adapter with all its versions; succeeds also where there is none. */
  async delete(id: AdapterId, signal: AbortSignal | undefined): Promise<Result<Unit>> {
    const metadata = await this.read(id, signal);
    if (metadata.isFailure) return isMissing(id, metadata) ? success(undefined) : failure(metadata.error);
    const deleted = await attempt(signal, () => this.#metadata.deleteMetadata(id, { signal }));
    if (deleted.isFailure) {
      const present = await attempt(undefined, () => this.#metadata.getMetadata(id));
      if (!isMissing(id, present)) return naming('Failed to delete adapter metadata', deleted);
    }
    // Without metadata nothing leads to the blobs any more, so they go whatever the caller wants by now.
    const versions = [versionOf(metadata.value), ...metadata.value.history];
    const left = await this.#removeBlobs([...new Set(pathsOf(versions))]);
    return left.length ? failure(`Failed to delete adapter weights: ${left.join(', ')} left`) : success(undefined);
  }

  /** Of the present weights, in bytes. */
  sizeOf({ blobStoragePath }: AdapterMetadata, signal: AbortSignal | undefined): Promise<Result<number>> {
    return attempt(signal, () => this.#blobs.getWeightsSize(blobStoragePath, { signal }));
  }

  /** Those that could not be removed; not to be cancelled. */
  async #removeBlobs(paths: readonly string[]): Promise<string[]> {
    const left: string[] = [];
    for (const path of paths) {
      if (!(await this.#isRemoved(`blob ${path}`, () => this.#blobs.deleteWeights(path)))) left.push(path);
    }
    return left;
  }

  /** Where it is not, the log says so. */
  async #isRemoved(what: string, remove: () => Promise<Result<Unit>>): Promise<boolean> {
    const removed = await attempt(undefined, remove);
    if (removed.isFailure) this.#logger.warn(`Failed to remove ${what}: ${removed.error}`);
    return removed.isSuccess;
  }

  /** The metadata with as much history as is kept, and the blobs that only the rest of it led to. */
  #prune(metadata: AdapterMetadata): { kept: AdapterMetadata; dropped: string[] } {
    const kept = metadata.with({ history: metadata.history.slice(0, this.#keptVersions) });
    const wanted = new Set(pathsOf([versionOf(kept), ...kept.history]));
    const dropped = pathsOf(metadata.history.slice(this.#keptVersions)).filter((path) => !wanted.has(path));
    return { kept, dropped: [...new Set(dropped)] };
  }
}

function isMissing(id: AdapterId, metadata: Result<AdapterMetadata>): boolean {
  return metadata.isFailure && metadata.error === `Adapter not found: ${id}`;
}

function isUnknown(result: Result<unknown>): boolean {
  return result.isFailure && result.error.startsWith(OUTCOME_UNKNOWN);
}

/** No two writers have the same blobs, so that an equal version is one's own. */
function isSame(a: AdapterVersion, b: AdapterVersion): boolean {
  return a.version === b.version && a.blobStoragePath === b.blobStoragePath;
}

function pathsOf(versions: readonly AdapterVersion[]): string[] {
  return versions.flatMap(({ blobStoragePath, memoryStoragePath }) =>
    memoryStoragePath === undefined ? [blobStoragePath] : [blobStoragePath, memoryStoragePath],
  );
}
