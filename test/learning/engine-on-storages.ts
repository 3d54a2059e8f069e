/** The engine on a pair of storages, from an adapter's first day to its last. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import { AdapterLearningEngine } from '../../src/learning/engine.js';
import type { AdapterBlobStorage, AdapterStorage, StorageOptions } from '../../src/learning/storage.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { loadBaseModel } from '../../src/llm/language-model.js';
import { root } from '../support/imports.js';

/** Knows what should be there. */
class CountedBlobs implements AdapterBlobStorage {
  readonly #blobs: AdapterBlobStorage;
  readonly all = new Set<string>();
  readonly live = new Set<string>();

  constructor(blobs: AdapterBlobStorage) {
    this.#blobs = blobs;
  }
  async storeWeights(id: AdapterId, weights: Uint8Array, options?: StorageOptions) {
    const stored = await this.#blobs.storeWeights(id, weights, options);
    return stored.map((path) => {
      this.all.add(path);
      this.live.add(path);
      return path;
    });
  }
  getWeights(path: string, options?: StorageOptions) {
    return this.#blobs.getWeights(path, options);
  }
  async deleteWeights(path: string, options?: StorageOptions) {
    const deleted = await this.#blobs.deleteWeights(path, options);
    if (deleted.isSuccess) this.live.delete(path);
    return deleted;
  }
  getWeightsSize(path: string, options?: StorageOptions) {
    return this.#blobs.getWeightsSize(path, options);
  }
}

const CHEAP = { fisherSamples: 0, replaySize: 0, keptVersions: 2 };

export async function liveThroughAll(metadata: AdapterStorage, storage: AdapterBlobStorage): Promise<void> {
  const model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  const blobs = new CountedBlobs(storage);
  // as two processes would
  const [engine, other] = [0, 1].map(() => new AdapterLearningEngine(model, metadata, blobs, CHEAP));
  const train = (by: AdapterLearningEngine) =>
    by.trainAdapter(id, [new TrainingExample('A:\n', 'B')], TrainingConfig.default());
  const id = (await engine.createAdapter('On storages', AdapterConfig.lowRank().with({ rank: 1 }))).value;
  const created = (await other.getAdapter(id)).value;
  expect((await train(engine)).value.version).toBe(2);
  expect((await other.listAdapters({ taskName: 'on STORAGES' })).value.map((one) => one.version)).toEqual([2]);
  // the same training from the same version gives the same weights: who comes second must not remove those of the first
  const results = await Promise.all([train(engine), train(other)]);
  const [winner, loser] = results[0].isSuccess ? results : results.toReversed();
  expect(winner.value.version).toBe(3);
  expect(loser.error).toBe(`Failed to store trained metadata: Adapter changed meanwhile: ${id}`);
  expect((await other.validateAdapter(id)).value).toBeGreaterThan(100);
  const back = (await other.rollback(id, { version: 1 })).value;
  expect([back.version, back.blobStoragePath]).toEqual([4, created.blobStoragePath]);
  expect((await engine.versions(id)).value.map(({ version }) => version)).toEqual([4, 3, 2]);
  expect((await engine.validateAdapter(id)).isSuccess).toBe(true);
  expect(blobs.live.size).toBe(5); // weights of 1, weights and memory of 2 and 3
  expect((await other.deleteAdapter(id)).isSuccess).toBe(true);
  expect((await engine.getAdapter(id)).error).toBe(`Adapter not found: ${id}`);
  expect((await engine.listAdapters()).value).toEqual([]);
  expect([...blobs.live]).toEqual([]);
  expect(blobs.all.size).toBe(7);
  for (const path of blobs.all) expect((await storage.getWeights(path)).error).toBe(`File not found: ${path}`);
  model.close();
}
