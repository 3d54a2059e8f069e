import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import { type AdapterId, newAdapterId } from '../../src/learning/adapter-id.js';
import { AdapterLearningEngine } from '../../src/learning/engine.js';
import { FeedbackSignal } from '../../src/learning/feedback-signal.js';
import { FileSystemBlobStorage } from '../../src/learning/file-blob-storage.js';
import { InMemoryAdapterStorage } from '../../src/learning/memory-storage.js';
import { MERGE_STRATEGIES } from '../../src/learning/merge-strategy.js';
import { success } from '../../src/learning/result.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { root } from '../support/imports.js';

const EXAMPLES = [
  new TrainingExample('ROMEO:\n', 'I love a song.'),
  new TrainingExample('JULIET:\n', 'The moon is late.'),
  new TrainingExample('KING:\n', 'Give me my horse.'),
];
const CONFIG = AdapterConfig.lowRank().with({ learningRate: 0.01 });

describe('the adapter learning engine', () => {
  let model: LanguageModel;
  let folder: string;
  let metadata: InMemoryAdapterStorage;
  let engine: AdapterLearningEngine;
  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lorakeet-learning-'));
    metadata = new InMemoryAdapterStorage();
    engine = new AdapterLearningEngine(model, metadata, new FileSystemBlobStorage(folder));
    return () => rm(folder, { recursive: true });
  });
  afterAll(() => model.close());

  const create = async (config = CONFIG) => (await engine.createAdapter('task', config)).value;
  const lossOf = async (id?: AdapterId, examples = EXAMPLES) => (await engine.evaluate(examples, id)).value.loss;

  it('creates an adapter that changes nothing, and trains it on examples', async () => {
    const id = await create();
    const before = await lossOf();
    expect(await lossOf(id)).toBeCloseTo(before, 5);
    const trained = await engine.trainAdapter(id, EXAMPLES, new TrainingConfig({ batchSize: 3, epochs: 8 }));
    expect(trained.value).toMatchObject({ version: 2, examples: 3, steps: 8 });
    expect(trained.value.finalLoss).toBeLessThan(trained.value.initialLoss);
    expect(await lossOf(id)).toBeLessThan(0.8 * before);
    expect((await engine.getAdapter(id)).value).toMatchObject({ trainingExampleCount: 3, version: 2 });
    const [answer, base] = [
      await engine.generateWithAdapter('KING:\n', id),
      await engine.generateWithAdapter('KING:\n'),
    ];
    expect(answer.value).not.toBe(base.value);
    expect((await engine.validateAdapter(id)).value).toBeGreaterThan(1000);
    expect((await engine.rollback(id)).value).toMatchObject({ version: 3, trainingExampleCount: 0 });
    expect(await lossOf(id)).toBeCloseTo(before, 5);
    expect((await engine.versions(id)).value.map(({ version }) => version)).toEqual([3, 2, 1]);
    expect((await engine.rollback(id, { version: 9 })).error).toContain('Version not found: 9');
    expect(await engine.deleteAdapter(id)).toEqual(success(undefined));
    expect(await readdir(folder)).toEqual([]);
    expect((await engine.getAdapter(id)).error).toBe(`Adapter not found: ${id}`);
  });

  it('merges adapters by every strategy, each into another result', async () => {
    const ids: AdapterId[] = [];
    for (const [i, example] of EXAMPLES.slice(0, 2).entries()) {
      ids.push(await create());
      await engine.trainAdapter(ids[i], [example], new TrainingConfig({ epochs: 4 }));
    }
    const losses = new Set<string>();
    for (const strategy of MERGE_STRATEGIES) {
      const options = strategy === 'weighted' ? { weights: [3, 1] } : {};
      const merged = await engine.mergeAdapters(ids, strategy, options);
      expect(merged.value).toMatchObject({ parents: ids, strategy });
      expect(merged.value.residual).toBeGreaterThanOrEqual(0);
      losses.add((await lossOf(merged.value.id)).toFixed(6));
      const { taskName, config } = (await engine.getAdapter(merged.value.id)).value;
      expect([taskName, config.rank]).toEqual([`merged_${strategy}`, 4]);
    }
    expect(losses.size).toBe(4);
  });

  it('gives the documented messages', async () => {
    const id = await create();
    const nobody = newAdapterId();
    const one = [EXAMPLES[0]];
    const config = TrainingConfig.default();
    const good = FeedbackSignal.success();
    const results: [Promise<{ error: unknown }>, string][] = [
      [engine.createAdapter(' ', CONFIG), 'Task name cannot be empty'],
      [engine.createAdapter('x', CONFIG.with({ rank: 0 })), 'Rank must be positive'],
      [engine.trainAdapter(id, [], config), 'Training examples cannot be empty'],
      [engine.trainAdapter(id, one, config.with({ epochs: 0 })), 'Epochs must be positive'],
      [
        engine.trainAdapter(id, [new TrainingExample('', 'x')], config),
        'Invalid training example: Input cannot be empty',
      ],
      [engine.trainAdapter(nobody, one, config), `Adapter not found: ${nobody}`],
      [engine.generateWithAdapter(' '), 'Prompt cannot be empty'],
      [engine.generateWithAdapter('x', nobody), `Adapter not found: ${nobody}`],
      [engine.learnFromFeedback('', 'x', good, id), 'Prompt cannot be empty'],
      [engine.learnFromFeedback('x', '', good, id), 'Generation cannot be empty'],
      [
        engine.learnFromFeedback('x', 'y', FeedbackSignal.userCorrection(''), id),
        'User correction requires correction text',
      ],
      [engine.mergeAdapters([id], 'average'), 'At least 2 adapters are required for merging'],
      [engine.mergeAdapters([id, nobody], 'ties'), `Adapter ${nobody} not found: Adapter not found: ${nobody}`],
      [engine.createAdapter('x', CONFIG, { signal: AbortSignal.abort() }), 'Operation cancelled'],
    ] as never;
    for (const [result, message] of results) expect((await result).error).toBe(message);
    const big = CONFIG.with({ rank: 256, targetModules: 'q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj' });
    expect((await engine.createAdapter('x', big)).isSuccess).toBe(true); // in 16 bits
    expect(await engine.deleteAdapter(nobody)).toEqual(success(undefined));
  });

  it('says what it was that went wrong', async () => {
    const [id, other] = [await create(), await create(CONFIG.with({ targetModules: 'o_proj' }))];
    const long = [new TrainingExample('O '.repeat(300), 'night')];
    const file = join(folder, 'file');
    await writeFile(file, '');
    const results: [Promise<{ error: unknown }>, RegExp][] = [
      [engine.trainAdapter(id, long, TrainingConfig.default()), /^Training failed: examples\[0\].* at most 256 tokens/],
      [engine.generateWithAdapter(long[0].input, id), /^Generation failed: /],
      [engine.evaluate(long, id), /^Evaluation failed: examples\[0\]/],
      [engine.evaluate([], id), /^Evaluation examples cannot be empty$/],
      [engine.evaluate([new TrainingExample('', 'x')]), /^Invalid evaluation example: Input cannot be empty$/],
      [engine.mergeAdapters([id, id], 'average'), /^An adapter can be merged only once$/],
      [engine.mergeAdapters([id, other], 'sum' as never), /^Merge strategy must be one of average, weighted, /],
      [engine.mergeAdapters([id, other], 'average'), /^Merge failed: /], // of other modules
      [
        engine.mergeAdapters([id, await create()], 'weighted', { weights: [1, -1] }),
        /^Merge failed: the sum of weights/,
      ],
      [engine.mergeAdapters([id, await create()], 'average', { density: 1 }), /^Merge failed: .*density/],
      [engine.exportAdapter(id, file), /^Export failed: /],
      [engine.importAdapter('x', join(folder, 'nowhere')), /^Import failed: /],
      [engine.importAdapter(' ', folder), /^Task name cannot be empty$/],
      [engine.listAdapters({ taskName: '' }), /^Task name cannot be empty$/],
      [engine.rollback(id), /^Version not found: an earlier one \(known: none\)$/],
    ] as never;
    for (const [result, message] of results) expect((await result).error).toMatch(message);
    const pieces = [];
    for await (const piece of engine.streamWithAdapter(' ', id)) pieces.push(piece.error);
    for await (const piece of engine.streamWithAdapter(long[0].input, id)) pieces.push(piece.error);
    expect(pieces).toEqual(['Prompt cannot be empty', expect.stringMatching(/^Generation failed: /)]);

    const broken = (createAdapter: () => Promise<unknown>) => {
      const other = { hash: model.hash, createAdapter } as never;
      return new AdapterLearningEngine(other, metadata, new FileSystemBlobStorage(folder)).createAdapter('x', CONFIG);
    };
    const thrown = await broken(async () => Promise.reject(new Error('no memory')));
    expect(thrown.error).toBe('Failed to initialize adapter: no memory');
    const state = { targets: [], steps: 0, parameters: Float32Array.of(Infinity) };
    const infinite = await broken(async () => ({ state: async () => state, close() {} }));
    expect(infinite.error).toBe('Failed to validate adapter: parameters[0] is Infinity');
    for (const parts of [
      [null, metadata],
      [model, undefined],
    ] as never[][]) {
      expect(() => new AdapterLearningEngine(...(parts as [never, never]), new FileSystemBlobStorage(folder))).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
    expect(() => new AdapterLearningEngine(model, metadata, {} as never, { ewcLambda: Number.NaN })).toThrow(
      'ewcLambda',
    );
  });

  it('streams what it generates, and goes out and in by a PEFT folder', async () => {
    const id = await create();
    await engine.trainAdapter(id, EXAMPLES, new TrainingConfig({ batchSize: 3, epochs: 4 }));
    const options = { maxNewTokens: 12, temperature: 0 };
    let streamed = '';
    for await (const piece of engine.streamWithAdapter('KING:\n', id, options)) streamed += piece.value;
    expect(streamed).toBe((await engine.generateWithAdapter('KING:\n', id, options)).value);
    for await (const piece of engine.streamWithAdapter('KING:\n', id)) {
      expect(piece.isSuccess).toBe(true);
      break; // and nothing goes on
    }
    const peft = join(folder, 'peft');
    expect((await engine.exportAdapter(id, peft)).isSuccess).toBe(true);
    const copy = (await engine.importAdapter('copy', peft)).value;
    expect(await lossOf(copy)).toBeCloseTo(await lossOf(id), 5);
    expect((await engine.getAdapter(copy)).value.config).toMatchObject({ rank: 4, targetModules: 'q_proj,v_proj' });
    expect((await engine.listAdapters()).value.map((each) => each.id)).toEqual([id, copy]);
  });
});
