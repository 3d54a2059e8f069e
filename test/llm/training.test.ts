import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecoderModel } from '../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../src/llm/decoder/js/model.js';
import { consolidateLanguageAdapter } from '../../src/llm/fisher.js';
import { scoreSequences } from '../../src/llm/gradients.js';
import { createLanguageAdapter } from '../../src/llm/language-adapter.js';
import { sum, type TokenExample, type TokenSequence, targetsFrom } from '../../src/llm/objectives.js';
import { trainLanguageAdapter } from '../../src/llm/trainer.js';
import type { TrainingOptions } from '../../src/llm/training-options.js';
import { createRandomModel, randomTokens } from './decoder/fixtures.js';

const contextLength = 32;
const sequence = (seed: string, length = 8): TokenSequence => targetsFrom(randomTokens(seed, length), 3);
const supervised = (seed: string, length?: number, weight = 1): TokenExample => ({
  kind: 'supervised',
  sequence: sequence(seed, length),
  weight,
});
const EXAMPLES = Array.from({ length: 7 }, (_, i) => supervised(`example ${i}`, 5 + i));

describe('training', () => {
  let model: DecoderModel;
  let folder: string;
  beforeAll(async () => {
    model = createRandomModel(jsDecoder);
    folder = await mkdtemp(join(tmpdir(), 'lorakeet-training-'));
  });
  afterAll(async () => {
    model.close();
    await rm(folder, { recursive: true });
  });

  const create = () =>
    createLanguageAdapter(model, { rank: 3, targetModules: ['q_proj', 'v_proj', 'down_proj'], seed: 5 });
  const train = async (examples: readonly TokenExample[], options: TrainingOptions = {}) => {
    const adapter = await create();
    const report = await trainLanguageAdapter(model, adapter, examples, {
      contextLength,
      learningRate: 0.02,
      ...options,
    });
    return { adapter, report, parameters: (await adapter.state()).parameters };
  };
  const logOf = async (adapter: Parameters<typeof scoreSequences>[1], of: TokenSequence) => {
    const pass = model.createPass();
    const [logs] = await scoreSequences(pass, adapter, [of], 100);
    pass.close();
    return sum(logs);
  };

  it('lowers the loss of what it learns, and says by how much', async () => {
    const progress: unknown[] = [];
    const { adapter, report } = await train(EXAMPLES, {
      epochs: 12,
      batchSize: 3,
      validation: EXAMPLES.slice(0, 3),
      onProgress: (event) => progress.push(event),
    });
    expect(report.steps).toBe(36);
    expect(adapter.steps).toBe(36);
    expect(progress.length).toBe(36);
    expect(progress[35]).toMatchObject({ step: 36, steps: 36, epoch: 12 });
    expect(report.losses.length).toBe(36);
    expect(report.validationLoss?.after).toBeLessThan(0.6 * (report.validationLoss?.before ?? 0));
    expect(report.memoryBytes).toBeGreaterThan(0);
  });

  it('is the same for the same seed, however it is split, and another for another', async () => {
    const options = { epochs: 2, batchSize: 4 };
    const { parameters } = await train(EXAMPLES, options);
    expect((await train(EXAMPLES, options)).parameters).toEqual(parameters);
    const split = (await train(EXAMPLES, { ...options, maxPassTokens: 1 })).parameters;
    expect(Math.max(...split.map((value, i) => Math.abs(value - parameters[i])))).toBeLessThan(1e-5);
    expect((await train(EXAMPLES, { ...options, seed: 1 })).parameters).not.toEqual(parameters);
    expect((await train(EXAMPLES, { ...options, dropout: 0.3 })).parameters).not.toEqual(parameters);
  });

  it('counts an example by its weight', async () => {
    const twice = [supervised('a', 8, 2), supervised('b', 8, 1)];
    const same = [supervised('a', 8), supervised('a', 8), supervised('b', 8)];
    const one = await train(twice, { batchSize: 2 });
    const other = await train(same, { batchSize: 3 });
    expect(one.report.losses[0]).toBeCloseTo(other.report.losses[0], 6);
    expect(Math.max(...one.parameters.map((value, i) => Math.abs(value - other.parameters[i])))).toBeLessThan(1e-5);
  });

  it('makes rejected text less likely and chosen text more likely than rejected', async () => {
    const [rejected, chosen] = [sequence('rejected'), sequence('chosen')];
    const fresh = await create();
    const unlikely = await train([{ kind: 'unlikelihood', sequence: rejected, weight: 1 }], { epochs: 10 });
    expect(await logOf(unlikely.adapter, rejected)).toBeLessThan((await logOf(fresh, rejected)) - 0.1);
    const pair: TokenExample = { kind: 'preference', chosen, rejected, weight: 1 };
    const preferred = await train([pair], { epochs: 10 });
    const gap = async (adapter: typeof fresh) => (await logOf(adapter, chosen)) - (await logOf(adapter, rejected));
    expect(await gap(preferred.adapter)).toBeGreaterThan((await gap(fresh)) + 1);
    expect(preferred.report.losses[0]).toBeCloseTo(Math.LN2, 5);
    expect(preferred.report.losses[9]).toBeLessThan(0.6);
  });

  it('goes on from a checkpoint as if it had not stopped', async () => {
    const options = { epochs: 3, batchSize: 2, dropout: 0.1, validation: EXAMPLES.slice(0, 1) };
    const whole = await train(EXAMPLES, options);
    const path = join(folder, 'checkpoint');
    const controller = new AbortController();
    await expect(
      train(EXAMPLES, {
        ...options,
        checkpoint: { path, everySteps: 5 },
        signal: controller.signal,
        onProgress: ({ step }) => step === 7 && controller.abort(),
      }),
    ).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    const resumed = await train(EXAMPLES, { ...options, resume: path });
    expect(resumed.parameters).toEqual(whole.parameters);
    expect(resumed.report.losses).toEqual(whole.report.losses.slice(5));
    await expect(train(EXAMPLES, { ...options, epochs: 4, resume: path })).rejects.toMatchObject({
      code: 'ERR_ADAPTER_MISMATCH',
    });
    await expect(train(EXAMPLES, { ...options, resume: join(folder, 'none') })).rejects.toMatchObject({
      code: 'ERR_FILE_ACCESS',
    });
  });

  it('gives checkpoints away when they are due: before it begins, and in the middle of a step that is ended', async () => {
    const options = { epochs: 3, batchSize: 2, dropout: 0.1 };
    const whole = await train(EXAMPLES, options);
    const saved = new Map<number, Uint8Array>();
    const asked: number[] = [];
    const controller = new AbortController();
    const isDue = (step: number) => {
      asked.push(step);
      pieces = 0;
      return step === 0 || controller.signal.aborted;
    };
    let pieces = 0;
    const signal = new Proxy(controller.signal, {
      get: (target, key) => {
        // asked at the end of a step, then before each piece of the next: before its second one
        if (key === 'throwIfAborted' && ++pieces === 3 && asked.length > 5) controller.abort();
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const stopped = train(EXAMPLES, {
      ...options,
      maxPassTokens: 1,
      signal,
      checkpoint: { isDue, save: async (bytes, step) => saved.set(step, bytes) },
    });
    await expect(stopped).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    const last = asked.length - 2;
    expect(asked).toEqual([...Array.from({ length: last + 1 }, (_, i) => i), last]);
    expect([...saved.keys()]).toEqual([0, last]);
    for (const [step, resume] of saved) {
      const resumed = await train(EXAMPLES, { ...options, resume });
      expect(resumed.report.losses).toHaveLength(12 - step);
      if (step === 0) expect(resumed.parameters).toEqual(whole.parameters);
    }
    const other = train(EXAMPLES, { ...options, seed: 1, resume: saved.get(0) });
    await expect(other).rejects.toMatchObject({ code: 'ERR_ADAPTER_MISMATCH' });
    const failing = { isDue: () => true, save: () => Promise.reject(new Error('the disk is full')) };
    await expect(train(EXAMPLES, { checkpoint: failing })).rejects.toThrow('the disk is full');
    const strange = { isDue: () => true, save: 'file' } as never;
    await expect(train(EXAMPLES, { checkpoint: strange })).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
  });

  it('waits for what is done with its progress', async () => {
    const order: string[] = [];
    await train(EXAMPLES, {
      batchSize: 4,
      onProgress: async ({ step }) => {
        order.push(`begin ${step}`);
        await new Promise(setImmediate);
        order.push(`end ${step}`);
      },
    });
    expect(order).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2']);
  });

  it('leaves the adapter as it was when it is aborted', async () => {
    const adapter = await create();
    await trainLanguageAdapter(model, adapter, EXAMPLES, { contextLength, batchSize: 7 });
    const before = await adapter.state();
    const controller = new AbortController();
    const training = trainLanguageAdapter(model, adapter, EXAMPLES, {
      contextLength,
      batchSize: 1,
      signal: controller.signal,
      onProgress: ({ step }) => step === 3 && controller.abort('enough'),
    });
    await expect(training).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(await adapter.state()).toEqual(before);
    expect((await adapter.decoder.read('gradient')).every((value) => value === 0)).toBe(true);
  });

  it('mixes in what is to be replayed', async () => {
    const replay = [supervised('old 1'), supervised('old 2'), supervised('old 3')];
    const { report } = await train(EXAMPLES, { batchSize: 100, epochs: 2, replay, replayShare: 0.3 });
    const own = EXAMPLES.reduce((n, each) => n + ('sequence' in each ? each.sequence.tokens.length : 0), 0);
    expect(report.tokens).toBe(2 * own + 2 * 3 * 8); // ⌈0.3 · 7⌉ = 3 of 8 tokens an epoch
  });

  it('holds an adapter to its anchor by its Fisher information', async () => {
    const [first, second] = [EXAMPLES.slice(0, 3), EXAMPLES.slice(3)];
    const sequences = first.map((example) => (example as { sequence: TokenSequence }).sequence);
    const forget = async (ewcLambda: number) => {
      const { adapter } = await train(first, { epochs: 15 });
      await consolidateLanguageAdapter(model, adapter, sequences);
      const rest = { contextLength, learningRate: 0.02, epochs: 8, ewcLambda };
      const { validationLoss } = await trainLanguageAdapter(model, adapter, second, { ...rest, validation: first });
      return (validationLoss?.after ?? 0) - (validationLoss?.before ?? 0);
    };
    const free = await forget(0);
    expect(free).toBeGreaterThan(0.05);
    expect(await forget(100)).toBeLessThan(0.5 * free);
  });

  it('measures Fisher information as the mean square of the gradients of examples', async () => {
    const adapter = await create();
    const state = await adapter.state();
    state.parameters = state.parameters.map((value, i) => value + 0.1 * Math.sin(i));
    await adapter.restore(state);
    const examples = [sequence('f1'), sequence('f2', 6)];
    await consolidateLanguageAdapter(model, adapter, examples, { kind: 'empirical' });
    const fisher = await adapter.decoder.read('fisher');
    expect(await adapter.decoder.read('anchor')).toEqual(state.parameters);
    const index = fisher.indexOf(Math.max(...fisher));
    const slopes = [];
    for (const example of examples) {
      const at = async (shift: number) => {
        await adapter.decoder.write('parameters', Float32Array.of(state.parameters[index] + shift), index);
        return logOf(adapter, example);
      };
      slopes.push(((await at(0.005)) - (await at(-0.005))) / 0.01);
    }
    const expected = (slopes[0] ** 2 + slopes[1] ** 2) / 2;
    expect(Math.abs(fisher[index] - expected)).toBeLessThan(0.01 * expected);

    await adapter.restore({ ...state, fisher, anchor: state.parameters });
    await consolidateLanguageAdapter(model, adapter, examples, { kind: 'empirical', decay: 0.5 });
    const again = await adapter.decoder.read('fisher');
    expect(Math.max(...again.map((value, i) => Math.abs(value - 1.5 * fisher[i])))).toBeLessThan(1e-5);
    await consolidateLanguageAdapter(model, adapter, examples, { decay: 0 });
    const drawn = await adapter.decoder.read('fisher');
    await consolidateLanguageAdapter(model, adapter, examples, { decay: 0, seed: 1 });
    expect(await adapter.decoder.read('fisher')).not.toEqual(drawn);
  });

  it('refuses what it cannot do before it begins', async () => {
    const adapter = await create();
    const before = await adapter.state();
    const refused = async (code: string, examples: readonly TokenExample[], options: Partial<TrainingOptions> = {}) =>
      expect(trainLanguageAdapter(model, adapter, examples, { contextLength, ...options })).rejects.toMatchObject({
        code,
      });
    await refused('ERR_INVALID_ARGUMENT', []);
    await refused('ERR_INVALID_ARGUMENT', [supervised('a', 8, 0)]);
    await refused('ERR_INVALID_ARGUMENT', [{ ...supervised('a'), kind: 'other' as never }]);
    await refused('ERR_INVALID_ARGUMENT', [
      { kind: 'supervised', weight: 1, sequence: { ...sequence('a'), targets: Uint32Array.of(8) } },
    ]);
    await refused('ERR_INVALID_ARGUMENT', [
      { kind: 'supervised', weight: 1, sequence: { ...sequence('a'), targets: Uint32Array.of(0, 1) } },
    ]);
    await refused('ERR_CONTEXT_FULL', [supervised('a', 33)]);
    await refused('ERR_INVALID_CONFIG', EXAMPLES, { learningRate: -1 });
    await refused('ERR_INVALID_CONFIG', EXAMPLES, { epoch: 2 } as never);
    await refused('ERR_OUT_OF_MEMORY', EXAMPLES, { memoryLimitBytes: 1000 });
    expect(await adapter.state()).toEqual(before);
  });
});
