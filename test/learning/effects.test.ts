/** What learning does to the model in the repository. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdapterConfig, type AdapterConfigFields } from '../../src/learning/adapter-config.js';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import { decodeMemory, decodeWeights } from '../../src/learning/adapter-weights.js';
import { AdapterLearningEngine } from '../../src/learning/engine.js';
import type { EngineOptions } from '../../src/learning/engine-options.js';
import { FeedbackSignal } from '../../src/learning/feedback-signal.js';
import { InMemoryAdapterStorage } from '../../src/learning/memory-storage.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { LORA_MODULES } from '../../src/llm/decoder/contract.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { root } from '../support/imports.js';
import { onlyJavaScript } from './decoder-speed.js';
import { Blobs } from './faulty-storages.js';
import { BRINGS, COMES, UNRELATED } from './tasks.js';

const QUICK = new AdapterConfig({ learningRate: 0.01 });

describe.skipIf(onlyJavaScript)('an adapter of the tiny model', () => {
  let model: LanguageModel;
  let blobs: Blobs;
  let engine: AdapterLearningEngine;
  const open = (options: EngineOptions = {}) => {
    blobs = new Blobs();
    engine = new AdapterLearningEngine(model, new InMemoryAdapterStorage(), blobs, options);
  };
  beforeAll(async () => {
    model = await loadBaseModel(`${root}/models/tiny-shakespeare-llama`);
  });
  beforeEach(() => open());
  afterAll(() => model.close());

  const create = async (config = QUICK) => (await engine.createAdapter('task', config)).value;
  const lossOf = async (examples: readonly TrainingExample[], id?: AdapterId) =>
    (await engine.evaluate(examples, id)).value.loss;
  const train = async (
    id: AdapterId,
    examples: readonly TrainingExample[],
    config: ConstructorParameters<typeof TrainingConfig>[0],
  ) => (await engine.trainAdapter(id, examples, new TrainingConfig(config))).value;
  const weightsOf = async (id: AdapterId) => {
    const { blobStoragePath } = (await engine.getAdapter(id)).value;
    return (await decodeWeights(blobs.content.get(blobStoragePath) as Uint8Array)).value;
  };

  it('gains more than half of what can be gained on twenty examples, more in three epochs than in one', async () => {
    const before = await lossOf(BRINGS);
    const losses: number[] = [];
    for (const epochs of [1, 3, 8]) {
      const id = await create();
      const summary = await train(id, BRINGS, { epochs });
      expect(summary).toMatchObject({ examples: 18, heldBack: 2, steps: 5 * epochs });
      losses.push(await lossOf(BRINGS, id));
      const { performanceScore, trainingExampleCount } = (await engine.getAdapter(id)).value;
      expect(performanceScore).toBe(summary.performanceScore);
      expect(trainingExampleCount).toBe(20);
    }
    const [one, three, eight] = losses;
    // All that can be gained is to be sure of every token, at a loss of 0.
    expect(eight).toBeLessThan(0.5 * before);
    expect(three).toBeLessThan(0.9 * one);
    expect(one).toBeLessThan(before);
  });

  it('is scored on what it has not seen', async () => {
    open({ heldBackShare: 0.3 });
    const id = await create();
    const examples = BRINGS.slice(0, 10);
    const { performanceScore } = await train(id, examples, { epochs: 8 });
    const seen = (await engine.evaluate(examples, id)).value.performanceScore;
    expect(performanceScore).toBeGreaterThan(0);
    expect(performanceScore).toBeLessThan(seen);
    // Fewer than ten are all learnt from, and the score stays.
    const next = await train(id, examples.slice(0, 9), {});
    expect(next.performanceScore).toBeUndefined();
    expect((await engine.getAdapter(id)).value.performanceScore).toBe(performanceScore);
  });

  it('has as many parameters as its configuration says, and other weights for every other configuration', async () => {
    const heads = { q_proj: [192, 192], k_proj: [192, 64], v_proj: [192, 64], o_proj: [192, 192] };
    const sizes = { ...heads, gate_proj: [192, 512], up_proj: [192, 512], down_proj: [512, 192] };
    const base: Partial<AdapterConfigFields> = { rank: 2, learningRate: 0.01, maxSteps: 4 };
    const weights = new Set<string>();
    const add = async (id: AdapterId) => weights.add((await weightsOf(id)).parameters.join());
    const examples = BRINGS.slice(0, 4);
    const configs: Partial<AdapterConfigFields>[] = [
      {},
      { rank: 3 },
      { learningRate: 0.02 },
      { maxSteps: 3 },
      { targetModules: 'q_proj' },
      { targetModules: LORA_MODULES.join(',') },
      { useRSLoRA: true },
    ];
    for (const change of configs) {
      const config = new AdapterConfig({ ...base, ...change });
      const id = await create(config);
      const { steps } = await train(id, examples, { batchSize: 2, epochs: 3 });
      expect(steps).toBe(Math.min(6, config.maxSteps));
      const perRank = config.modules().value.reduce((sum, name) => sum + sizes[name][0] + sizes[name][1], 0);
      expect((await weightsOf(id)).parameters.length).toBe(model.config.shape.layers * config.rank * perRank);
      await add(id);
    }
    const heavy = examples.map(({ input, output }, i) => new TrainingExample(input, output, i + 1));
    for (const [given, settings] of [
      [examples, { batchSize: 1, epochs: 2 }],
      [examples, { batchSize: 2, epochs: 1 }],
      [heavy, { batchSize: 2, epochs: 3 }],
    ] as const) {
      const id = await create(new AdapterConfig(base));
      await train(id, given, settings);
      await add(id);
    }
    expect(weights.size).toBe(configs.length + 3);
  });

  it('learns the same from the same', async () => {
    const learnt = [];
    for (const seed of [0, 0, 1]) {
      open({ seed });
      const id = await create();
      await train(id, BRINGS.slice(0, 8), { epochs: 2 });
      learnt.push((await weightsOf(id)).parameters);
    }
    expect(learnt[1]).toEqual(learnt[0]);
    expect(learnt[2]).not.toEqual(learnt[0]);
  });

  it('forgets less in incremental training, and learns all the same', async () => {
    open({ heldBackShare: 0 });
    const outcomes = [];
    for (const incrementalUpdate of [false, true]) {
      const id = await create();
      await train(id, BRINGS, { epochs: 6 });
      const before = { old: await lossOf(BRINGS, id), fresh: await lossOf(COMES, id) };
      await train(id, COMES, { epochs: 6, incrementalUpdate });
      const after = { old: await lossOf(BRINGS, id), fresh: await lossOf(COMES, id) };
      outcomes.push({ rise: after.old - before.old, gain: before.fresh - after.fresh });
    }
    const [plain, incremental] = outcomes;
    expect(plain.rise).toBeGreaterThan(0.5);
    expect(incremental.rise).toBeLessThan(0.7 * plain.rise);
    expect(incremental.gain).toBeGreaterThan(0.5 * plain.gain);
  });

  it.each([
    ['EWC', { replayShare: 0 }],
    ['replay', { ewcLambda: 0 }],
  ])('forgets less by %s alone', async (_, options) => {
    const rises = [];
    for (const own of [options, { replayShare: 0, ewcLambda: 0 }]) {
      open({ heldBackShare: 0, ...own });
      const id = await create();
      await train(id, BRINGS, { epochs: 6 });
      const before = await lossOf(BRINGS, id);
      await train(id, COMES, { epochs: 6, incrementalUpdate: true });
      rises.push((await lossOf(BRINGS, id)) - before);
    }
    expect(rises[0]).toBeLessThan(0.7 * rises[1]);
  });

  describe('learns from feedback', () => {
    const prompt = 'ROMEO:\n';
    let generation: string;
    beforeAll(async () => {
      open();
      generation = (await engine.generateWithAdapter(prompt, undefined, { maxNewTokens: 12 })).value;
    });
    /** How the mean log-probability of texts after the prompt, and of unrelated pairs, is changed. */
    const changes = async (signal: FeedbackSignal, texts: string[], config = QUICK) => {
      const id = await create(config);
      await train(id, BRINGS, { epochs: 1 });
      const pairs = texts.map((text) => [new TrainingExample(prompt, text)]);
      const all = [...pairs, ...UNRELATED.map((pair) => [pair])];
      const losses = async () => Promise.all(all.map((examples) => lossOf(examples, id)));
      const before = await losses();
      const learnt = await engine.learnFromFeedback(prompt, generation, signal, id);
      expect(learnt.isSuccess).toBe(true);
      const change = (await losses()).map((loss, i) => before[i] - loss);
      const unrelated = change.slice(texts.length);
      return { own: change.slice(0, texts.length), mean: unrelated.reduce((a, b) => a + b, 0) / unrelated.length };
    };

    it.each([
      ['quickly', QUICK],
      ['at the default rate', AdapterConfig.default()],
    ])('what it should and should not write, %s', async (_, config) => {
      const correction = await changes(
        FeedbackSignal.userCorrection('O night, come down!'),
        ['O night, come down!'],
        config,
      );
      expect(correction.own[0]).toBeGreaterThan(0);
      const success = await changes(FeedbackSignal.success(), [generation], config);
      expect(success.own[0]).toBeGreaterThan(0);
      const bad = await changes(FeedbackSignal.failure(), [generation], config);
      expect(bad.own[0]).toBeLessThan(0);
      expect(bad.own[0]).toBeLessThan(bad.mean);
      expect(-bad.own[0]).toBeGreaterThan(Math.abs(bad.mean));
    });

    it('what is preferred, to another text where that is known', async () => {
      const alone = await changes(FeedbackSignal.preference(0.8), [generation]);
      expect(alone.own[0]).toBeGreaterThan(0);
      const pair = await changes(FeedbackSignal.preference(1, 'The rest is nought.'), [
        generation,
        'The rest is nought.',
      ]);
      expect(pair.own[0] - pair.own[1]).toBeGreaterThan(0.05);
    });

    it('the more the higher the score, and nothing from a score of 0', async () => {
      const lowered = [];
      for (const score of [-0.1, -1]) lowered.push((await changes(FeedbackSignal.failure(score), [generation])).own[0]);
      expect(lowered[0]).toBeLessThan(0);
      expect(lowered[1]).toBeLessThan(lowered[0]);
      const id = await create();
      const before = { ...(await engine.getAdapter(id)).value };
      const bytes = new Map(blobs.content);
      for (const none of [FeedbackSignal.failure(0), FeedbackSignal.success(0), FeedbackSignal.preference(0)]) {
        expect((await engine.learnFromFeedback(prompt, generation, none, id)).isSuccess).toBe(true);
      }
      expect({ ...(await engine.getAdapter(id)).value }).toEqual(before);
      expect([...blobs.content]).toHaveLength(bytes.size);
      for (const [path, content] of blobs.content) expect(content).toBe(bytes.get(path));
    });

    it('not to be reminded of what was rejected', async () => {
      const id = await create();
      const examples = [...BRINGS.slice(0, 3), new TrainingExample(prompt, generation)];
      await train(id, examples, { epochs: 8 });
      const before = await lossOf([examples[3]], id);
      for (let i = 0; i < 2; i++) await engine.learnFromFeedback(prompt, generation, FeedbackSignal.failure(), id);
      expect(await lossOf([examples[3]], id)).toBeGreaterThan(before);
      const { memoryStoragePath } = (await engine.getAdapter(id)).value;
      const memory = await decodeMemory(blobs.content.get(memoryStoragePath as string) as Uint8Array);
      expect(memory.value.examples).toEqual(examples.slice(0, 3));
    });

    it('to remember a correction in later trainings', async () => {
      const losses = [];
      for (const incrementalUpdate of [false, true]) {
        const id = await create();
        for (let i = 0; i < 3; i++) {
          await engine.learnFromFeedback(prompt, generation, FeedbackSignal.userCorrection('O night!'), id);
        }
        await train(id, COMES.slice(0, 8), { epochs: 6, incrementalUpdate });
        losses.push(await lossOf([new TrainingExample(prompt, 'O night!')], id));
      }
      expect(losses[1]).toBeLessThan(0.5 * losses[0]);
    });
  });
});
