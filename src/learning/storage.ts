/**
 * Where adapters lie: metadata in one storage, weights in another, each exchangeable. adapterStorageConformance and
 * adapterBlobConformance of lorakeet/testing are what an implementation must pass. Expected failures are Results, those of a
 * server that cannot be reached included; what a storage throws all the same, the engine reports as `Unexpected error`.
 */
import type { AdapterId } from './adapter-id.js';
import type { AdapterMetadata } from './adapter-metadata.js';
import type { Result, Unit } from './result.js';

export interface StorageOptions {
  /** Fails with `Operation cancelled`, nothing changed. */
  signal?: AbortSignal;
}

/**
 * A write that fails has changed nothing. Where a storage cannot know that any more, as with a server that is gone without an
 * answer, the failure begins with `Outcome unknown`: then the engine keeps the weights that the metadata may lead to.
 * Metadata that could not be read again, and what is read and has been damaged, fails with `Metadata is damaged: …`.
 */
export interface AdapterStorage {
  /** Also in place of metadata with the same id. Fails with `Metadata cannot be null`. */
  storeMetadata(metadata: AdapterMetadata, options?: StorageOptions): Promise<Result<Unit>>;
  /** Fails with `Adapter not found: <id>`. */
  getMetadata(id: AdapterId, options?: StorageOptions): Promise<Result<AdapterMetadata>>;
  /** Those with that task name, in whatever case; perhaps none. Fails with `Task name cannot be empty`. */
  getAdaptersByTask(taskName: string, options?: StorageOptions): Promise<Result<AdapterMetadata[]>>;
  /** All, the oldest first. */
  listAdapters(options?: StorageOptions): Promise<Result<AdapterMetadata[]>>;
  /**
   * Replaces metadata whose version is one less, in one step, so that of two who have read the same version one succeeds.
   * Fails with `Metadata cannot be null`, `Adapter not found: <id>`, `Adapter changed meanwhile: <id>`.
   */
  updateMetadata(metadata: AdapterMetadata, options?: StorageOptions): Promise<Result<Unit>>;
  /** Succeeds also where there is none. */
  deleteMetadata(id: AdapterId, options?: StorageOptions): Promise<Result<Unit>>;
}

export interface AdapterBlobStorage {
  /**
   * The path under which the weights are now: a new one every time, so that whoever has stored them may delete them, and
   * nothing is ever overwritten. Fails with `Weights cannot be empty`.
   */
  storeWeights(id: AdapterId, weights: Uint8Array, options?: StorageOptions): Promise<Result<string>>;
  /** Fails with `Path cannot be empty`, `File not found: <path>`, and where they are not those that were stored. */
  getWeights(path: string, options?: StorageOptions): Promise<Result<Uint8Array>>;
  /** Succeeds also where there are none. Fails with `Path cannot be empty`. */
  deleteWeights(path: string, options?: StorageOptions): Promise<Result<Unit>>;
  /** In bytes. Fails as getWeights. */
  getWeightsSize(path: string, options?: StorageOptions): Promise<Result<number>>;
}

export const CANCELLED = 'Operation cancelled';
export const OUTCOME_UNKNOWN = 'Outcome unknown';
