/** Where the engine's adapters lie: metadata and blobs together, so that no failure leaves the one without the other. */
import type { LanguageAdapterState } from '../llm/language-adapter.js';
import type { AdapterConfig } from './adapter-config.js';
import { type AdapterId, newAdapterId } from './adapter-id.js';
import { AdapterMetadata, type AdapterVersion, versionOf } from './adapter-metadata.js';
import { type AdapterMemory, decodeMemory, decodeWeights, encodeWeights } from './adapter-weights.js';
import { naming } from './attempt.js';
import { failure, type Result, success, type Unit } from './result.js';
import type { AdapterBlobStorage, AdapterStorage } from './storage.js';

export class AdapterVault {
  readonly #metadata: AdapterStorage;
  readonly #blobs: AdapterBlobStorage;
  readonly #baseModel: string;
  readonly #keptVersions: number;

  /** `baseModel` is the hash of the model that all of it is for. */
  constructor(metadata: AdapterStorage, blobs: AdapterBlobStorage, baseModel: string, keptVersions: number) {
    this.#metadata = metadata;
    this.#blobs = blobs;
    this.#baseModel = baseModel;
    this.#keptVersions = keptVersions;
  }

  async read(id: AdapterId, signal: AbortSignal | undefined): Promise<Result<AdapterMetadata>> {
    const metadata = await this.#metadata.getMetadata(id, { signal });
    const missing = `Adapter not found: ${id}`;
    return metadata.mapError((error) => (error === missing ? error : `Adapter not found: ${error}`));
  }

  async weightsOf(
    what: string,
    { blobStoragePath, baseModel }: AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<LanguageAdapterState>> {
    if (baseModel !== this.#baseModel) return failure(`${what}: the adapter was made for another base model`);
    const bytes = naming(what, await this.#blobs.getWeights(blobStoragePath, { signal }));
    return bytes.isFailure ? failure(bytes.error) : naming(what, await decodeWeights(bytes.value));
  }

  async memoryOf(
    { memoryStoragePath }: AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<AdapterMemory>> {
    if (memoryStoragePath === undefined) return success({ examples: [] });
    const what = 'Failed to retrieve adapter memory';
    const bytes = naming(what, await this.#blobs.getWeights(memoryStoragePath, { signal }));
    return bytes.isFailure ? failure(bytes.error) : naming(what, await decodeMemory(bytes.value));
  }

  /** A new adapter. */
  async storeNew(
    taskName: string,
    config: AdapterConfig,
    state: LanguageAdapterState,
    origin: Pick<AdapterMetadata, 'parents' | 'mergeStrategy'>,
    signal: AbortSignal | undefined,
    what = '',
  ): Promise<Result<AdapterId>> {
    const bytes = encodeWeights(`${what ? 'Merged adapter' : 'Adapter'}`, state);
    if (bytes.isFailure) return failure(bytes.error);
    const id = newAdapterId();
    const failed = what ? `Failed to store ${what}adapter` : 'Failed to store adapter weights';
    const path = naming(failed, await this.#blobs.storeWeights(id, bytes.value, { signal }));
    if (path.isFailure) return failure(path.error);
    const metadata = AdapterMetadata.create(id, taskName, config, path.value, this.#baseModel).with(origin);
    const stored = await this.#orRemove([path.value], () => this.#metadata.storeMetadata(metadata, { signal }));
    return naming('Failed to store adapter metadata', stored).map(() => id);
  }

  /** The next version of an adapter: weights, memory, and the metadata that `next` makes of their paths. */
  async storeNext(
    id: AdapterId,
    weights: Uint8Array,
    memory: Uint8Array,
    next: (paths: { blobStoragePath: string; memoryStoragePath: string }) => AdapterMetadata,
    signal: AbortSignal | undefined,
  ): Promise<Result<AdapterMetadata>> {
    const blobStoragePath = naming(
      'Failed to store trained weights',
      await this.#blobs.storeWeights(id, weights, { signal }),
    );
    if (blobStoragePath.isFailure) return failure(blobStoragePath.error);
    const memoryPath = await this.#orRemove([blobStoragePath.value], () =>
      this.#blobs.storeWeights(id, memory, { signal }),
    );
    if (memoryPath.isFailure) return naming('Failed to store adapter memory', failure(memoryPath.error));
    const paths = { blobStoragePath: blobStoragePath.value, memoryStoragePath: memoryPath.value };
    const { kept, dropped } = this.#prune(next(paths));
    const updated = await this.#orRemove(Object.values(paths), () => this.#metadata.updateMetadata(kept, { signal }));
    if (updated.isFailure) return naming('Failed to store trained metadata', failure(updated.error));
    for (const path of dropped) await this.#blobs.deleteWeights(path);
    return success(kept);
  }

  /** Metadata of the next version whose blobs are there already. */
  async update(metadata: AdapterMetadata, signal: AbortSignal | undefined): Promise<Result<AdapterMetadata>> {
    const { kept, dropped } = this.#prune(metadata);
    const updated = await this.#metadata.updateMetadata(kept, { signal });
    if (updated.isFailure) return naming('Failed to store adapter metadata', failure(updated.error));
    for (const path of dropped) await this.#blobs.deleteWeights(path);
    return success(kept);
  }

  /** The adapter with all its versions; succeeds also where there is none. */
  async delete(id: AdapterId, signal: AbortSignal | undefined): Promise<Result<Unit>> {
    const metadata = await this.#metadata.getMetadata(id, { signal });
    if (metadata.isFailure) {
      return metadata.error === `Adapter not found: ${id}` ? success(undefined) : failure(metadata.error);
    }
    const deleted = await this.#metadata.deleteMetadata(id, { signal });
    if (deleted.isFailure) return deleted;
    // Without metadata nothing leads to the blobs any more, so they go whatever the caller wants by now.
    const versions = [versionOf(metadata.value), ...metadata.value.history];
    for (const path of new Set(pathsOf(versions))) await this.#blobs.deleteWeights(path);
    return success(undefined);
  }

  /** Of the present weights, in bytes. */
  sizeOf({ blobStoragePath }: AdapterMetadata, signal: AbortSignal | undefined): Promise<Result<number>> {
    return this.#blobs.getWeightsSize(blobStoragePath, { signal });
  }

  /** Runs the operation, and where it does not succeed removes the blobs, which nothing then leads to, cancelled or not. */
  async #orRemove<T>(paths: readonly string[], operation: () => Promise<Result<T>>): Promise<Result<T>> {
    let done = false;
    try {
      const result = await operation();
      done = result.isSuccess;
      return result;
    } finally {
      if (!done) for (const path of paths) await this.#blobs.deleteWeights(path).catch(() => {});
    }
  }

  /** The metadata with as much history as is kept, and the blobs that only the rest of it led to. */
  #prune(metadata: AdapterMetadata): { kept: AdapterMetadata; dropped: string[] } {
    const kept = metadata.with({ history: metadata.history.slice(0, this.#keptVersions) });
    const wanted = new Set(pathsOf([versionOf(kept), ...kept.history]));
    const dropped = pathsOf(metadata.history.slice(this.#keptVersions)).filter((path) => !wanted.has(path));
    return { kept, dropped: [...new Set(dropped)] };
  }
}

function pathsOf(versions: readonly AdapterVersion[]): string[] {
  return versions.flatMap(({ blobStoragePath, memoryStoragePath }) =>
    memoryStoragePath === undefined ? [blobStoragePath] : [blobStoragePath, memoryStoragePath],
  );
}
