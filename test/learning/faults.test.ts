import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import { AdapterLearningEngine } from '../../src/learning/engine.js';
import { FeedbackSignal } from '../../src/learning/feedback-signal.js';
import { failure, type Result } from '../../src/learning/result.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { root } from '../support/imports.js';
import { FAULTS, Storages } from './faulty-storages.js';

const CONFIG = new AdapterConfig({ rank: 1, targetModules: 'q_proj' });
const EXAMPLES = [new TrainingExample('a', 'b')];

interface Case {
  run(engine: AdapterLearningEngine, options: { signal: AbortSignal }): Promise<Result<unknown>>;
  /** The calls of storages that it makes, each with what is said when it fails. */
  calls: [name: string, message: string][];
}

describe('an operation whose storages go wrong', () => {
  let model: LanguageModel;
  let given: Storages;
  let ids: AdapterId[];
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-faults-'));
  const engineOf = (storages: Storages, options = {}) =>
    new AdapterLearningEngine(model, storages.faultyMetadata, storages.faultyBlobs, options);

  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
    given = new Storages();
    const engine = engineOf(given);
    ids = [];
    for (let i = 0; i < 2; i++) {
      ids.push((await engine.createAdapter('task', CONFIG)).value);
      await engine.trainAdapter(ids[i], EXAMPLES, TrainingConfig.default());
    }
    await engine.exportAdapter(ids[0], join(folder, 'given'));
  });
  afterAll(() => {
    model.close();
    rmSync(folder, { recursive: true });
  });

  const read: Case['calls'] = [
    ['getMetadata', 'Adapter not found: broken'],
    ['getWeights', 'Failed to retrieve adapter weights: broken'],
  ];
  const create: Case['calls'] = [
    ['storeWeights', 'Failed to store adapter weights: broken'],
    ['storeMetadata', 'Failed to store adapter metadata: broken'],
  ];
  const train: Case['calls'] = [
    ...read,
    ['getWeights', 'Failed to retrieve adapter memory: broken'],
    ['storeWeights', 'Failed to store trained weights: broken'],
    ['storeWeights', 'Failed to store adapter memory: broken'],
    ['updateMetadata', 'Failed to store trained metadata: broken'],
  ];
  const cases: Record<string, Case> = {
    createAdapter: { run: (engine, options) => engine.createAdapter('other', CONFIG, options), calls: create },
    trainAdapter: {
      run: (engine, options) => engine.trainAdapter(ids[0], EXAMPLES, TrainingConfig.default(), options),
      calls: train,
    },
    learnFromFeedback: {
      run: (engine, options) => engine.learnFromFeedback('a', 'c', FeedbackSignal.failure(), ids[0], options),
      calls: train,
    },
    generateWithAdapter: {
      run: (engine, options) => engine.generateWithAdapter('a', ids[0], { ...options, maxNewTokens: 1 }),
      calls: read,
    },
    streamWithAdapter: {
      run: async (engine, options) => {
        let last: Result<unknown> = failure('no piece');
        for await (const piece of engine.streamWithAdapter('a', ids[0], { ...options, maxNewTokens: 2 })) last = piece;
        return last;
      },
      calls: read,
    },
    evaluate: { run: (engine, options) => engine.evaluate(EXAMPLES, ids[0], options), calls: read },
    mergeAdapters: {
      run: (engine, options) => engine.mergeAdapters(ids, 'average', options),
      calls: [
        ['getMetadata', 'Adapter $0 not found: Adapter not found: broken'],
        ['getWeights', 'Failed to retrieve weights for adapter $0: broken'],
        ['getMetadata', 'Adapter $1 not found: Adapter not found: broken'],
        ['getWeights', 'Failed to retrieve weights for adapter $1: broken'],
        ['storeWeights', 'Failed to store merged adapter: broken'],
        ['storeMetadata', 'Failed to store merged adapter metadata: broken'],
      ],
    },
    listAdapters: { run: (engine, options) => engine.listAdapters(options), calls: [['listAdapters', 'broken']] },
    'listAdapters of a task': {
      run: (engine, options) => engine.listAdapters({ ...options, taskName: 'task' }),
      calls: [['getAdaptersByTask', 'broken']],
    },
    getAdapter: { run: (engine, options) => engine.getAdapter(ids[0], options), calls: [read[0]] },
    versions: { run: (engine, options) => engine.versions(ids[0], options), calls: [read[0]] },
    rollback: {
      run: (engine, options) => engine.rollback(ids[0], options),
      calls: [read[0], ['updateMetadata', 'Failed to store adapter metadata: broken']],
    },
    validateAdapter: {
      run: (engine, options) => engine.validateAdapter(ids[0], options),
      calls: [read[0], ['getWeights', 'Validation failed: broken'], ['getWeightsSize', 'Validation failed: broken']],
    },
    exportAdapter: {
      run: (engine, options) => engine.exportAdapter(ids[0], join(folder, 'out'), options),
      calls: read,
    },
    importAdapter: {
      run: (engine, options) => engine.importAdapter('other', join(folder, 'given'), options),
      calls: create,
    },
    deleteAdapter: {
      run: (engine, options) => engine.deleteAdapter(ids[0], options),
      calls: [read[0], ['deleteMetadata', 'Failed to delete adapter metadata: broken']],
    },
  };
  const CLEANING = ['deleteWeights'];

  it.each(Object.entries(cases))('%s says what was broken, and leaves nothing behind', async (_, { run, calls }) => {
    const whole = await given.copy();
    expect((await run(engineOf(whole), { signal: whole.abort.signal })).isSuccess).toBe(true);
    const made = whole.calls.filter((name) => !CLEANING.includes(name));
    expect(made).toEqual(calls.map(([name]) => name));
    const before = await given.content();

    for (const [call, [name, message]] of calls.entries()) {
      for (const fault of FAULTS) {
        const storages = await given.copy();
        const engine = engineOf(storages);
        storages.breakAt(call, fault);
        const result = await run(engine, { signal: storages.abort.signal });
        engine.close();
        const where = `${name} ${fault}`;
        const { orphans, dangling } = await storages.orphans();
        expect(dangling, where).toEqual([]);
        if (fault === 'loses' && name === 'storeWeights') {
          expect(orphans.length, where).toBe(1); // whose path was lost
          continue;
        }
        expect(orphans, where).toEqual([]);
        if (result.isFailure) expect(await storages.content(), where).toEqual(before);
        const said = result.isFailure ? result.error : 'success';
        const expected = {
          fails: message.replace(/\$(\d)/g, (_, i) => ids[i]),
          throws: 'Unexpected error: broken',
          // What was done though the answer was lost is looked up; nobody knows of a new adapter, so it goes again.
          loses: ['updateMetadata', 'deleteMetadata'].includes(name) ? 'success' : 'Unexpected error: lost',
          cancels: 'Operation cancelled',
          ignores: call === calls.length - 1 ? expect.stringMatching(/success|cancelled/) : 'Operation cancelled',
        }[fault];
        expect(said, where).toEqual(expected);
      }
    }
  });

  it('keeps blobs where nobody knows whether the metadata lead to them, and says so', async () => {
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (message: string) => void warnings.push(message) };
    const storages = await given.copy();
    const engine = new AdapterLearningEngine(model, storages.metadata, storages.blobs, { logger });
    storages.metadata.updateMetadata = async () => failure('Outcome unknown: the server is gone');
    const result = await engine.trainAdapter(ids[0], EXAMPLES, TrainingConfig.default());
    expect(result.error).toBe('Failed to store trained metadata: Outcome unknown: the server is gone');
    expect((await storages.orphans()).orphans.length).toBe(2);
    expect(warnings).toEqual([expect.stringContaining(`Adapter ${ids[0]}: version 3 may be stored`)]);
  });

  it('succeeds where only old blobs cannot be removed, and says which', async () => {
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (message: string) => void warnings.push(message) };
    const storages = await given.copy();
    const engine = new AdapterLearningEngine(model, storages.metadata, storages.blobs, { logger, keptVersions: 0 });
    const old = (await storages.metadata.getMetadata(ids[0])).value;
    storages.blobs.deleteWeights = async () => failure('locked');
    expect((await engine.trainAdapter(ids[0], EXAMPLES, TrainingConfig.default())).value.version).toBe(3);
    expect(warnings).toContain(`Failed to remove blob ${old.blobStoragePath}: locked`);
    const deleted = await engine.deleteAdapter(ids[0]);
    expect(deleted.error).toMatch(/^Failed to delete adapter weights: .+, .+ left$/);
    expect((await engine.getAdapter(ids[0])).error).toBe(`Adapter not found: ${ids[0]}`);
  });

  it('reads the next version where the one that it began with has gone meanwhile', async () => {
    const storages = await given.copy();
    const engine = engineOf(storages, { keptVersions: 0 });
    const getWeights = storages.blobs.getWeights.bind(storages.blobs);
    let raced = false;
    storages.blobs.getWeights = async (path) => {
      if (!raced) {
        raced = true;
        expect((await engine.trainAdapter(ids[0], EXAMPLES, TrainingConfig.default())).isSuccess).toBe(true);
      }
      return getWeights(path);
    };
    expect((await engine.generateWithAdapter('a', ids[0], { maxNewTokens: 1 })).isSuccess).toBe(true);
  });

  it('finds damage, and adapters of another model', async () => {
    const storages = await given.copy();
    const engine = engineOf(storages);
    const metadata = (await engine.getAdapter(ids[0])).value;
    const bytes = storages.blobs.content.get(metadata.blobStoragePath) as Uint8Array;
    storages.blobs.content.set(
      metadata.blobStoragePath,
      bytes.map((byte, i) => (i === 400 ? byte ^ 1 : byte)),
    );
    expect((await engine.validateAdapter(ids[0])).error).toMatch(/^Validation failed: .*checksum/);
    expect((await engine.generateWithAdapter('a', ids[0])).error).toMatch(/^Failed to retrieve adapter weights: /);
    storages.blobs.content.set(metadata.blobStoragePath, new Uint8Array());
    expect((await engine.validateAdapter(ids[0])).error).toBe('Validation failed: Weights cannot be empty');
    await storages.metadata.storeMetadata(metadata.with({ baseModel: 'another' }));
    expect((await engine.evaluate(EXAMPLES, ids[0])).error).toBe(
      'Failed to retrieve adapter weights: the adapter was made for another base model',
    );
  });
});
