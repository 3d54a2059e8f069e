import { describe, expect, it } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import { newAdapterId, parseAdapterId } from '../../src/learning/adapter-id.js';
import { AdapterMetadata } from '../../src/learning/adapter-metadata.js';
import { FeedbackSignal } from '../../src/learning/feedback-signal.js';
import { none, some } from '../../src/learning/option.js';
import type { Result, Unit } from '../../src/learning/result.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';

const messageOf = (value: { validate(): Result<Unit> }) => value.validate().match(() => 'valid', String);

describe('the configuration of an adapter', () => {
  it('has the documented presets', () => {
    const common = { learningRate: 3e-4, maxSteps: 1000, targetModules: 'q_proj,v_proj', useRSLoRA: false };
    expect({ ...AdapterConfig.default() }).toEqual({ rank: 8, ...common });
    expect({ ...AdapterConfig.lowRank() }).toEqual({ rank: 4, ...common });
    expect({ ...AdapterConfig.highRank() }).toEqual({ rank: 16, ...common });
    for (const preset of [AdapterConfig.default(), AdapterConfig.lowRank(), AdapterConfig.highRank()]) {
      expect(messageOf(preset)).toBe('valid');
    }
    expect({ ...AdapterConfig.default().with({ rank: 12 }) }).toEqual({ rank: 12, ...common });
    expect(() => Object.assign(AdapterConfig.default(), { rank: 9 })).toThrow();
  });

  it.each([
    [{ rank: 0 }, 'Rank must be positive'],
    [{ rank: -1, learningRate: -1 }, 'Rank must be positive'],
    [{ rank: Number.NaN }, 'Rank must be positive'],
    [{ rank: 1.5 }, 'Rank must be a whole number'],
    [{ rank: 1e9 }, 'Rank must be at most 256'],
    [{ learningRate: 0 }, 'Learning rate must be positive'],
    [{ learningRate: Number.NaN }, 'Learning rate must be positive'],
    [{ learningRate: Infinity }, 'Learning rate must be positive'],
    [{ learningRate: 2 }, 'Learning rate must be at most 1'],
    [{ learningRate: 0, maxSteps: 0 }, 'Learning rate must be positive'],
    [{ maxSteps: 0 }, 'Max steps must be positive'],
    [{ maxSteps: 0, targetModules: '' }, 'Max steps must be positive'],
    [{ targetModules: ' ' }, 'Target modules cannot be empty'],
    [{ targetModules: null as never }, 'Target modules cannot be empty'],
    [{ rank: null as never }, 'Rank must be positive'],
    [{ targetModules: 7 as never }, 'Target modules cannot be empty'],
    [{ targetModules: 'q_proj, o_proj' }, 'valid'],
    [{ targetModules: 'q_proj,lm_head' }, expect.stringContaining('Unknown target module: lm_head')],
    [{ targetModules: 'q_proj,' }, expect.stringContaining('Unknown target module')],
    [{ targetModules: 'q_proj,q_proj' }, 'Target module given twice: q_proj'],
    [{ useRSLoRA: 1 as never }, 'UseRSLoRA must be true or false'],
  ])('%j: %s', (fields, message) => {
    expect(messageOf(new AdapterConfig(fields))).toEqual(message);
  });
});

describe('the configuration of a training', () => {
  it('has the documented presets', () => {
    expect({ ...TrainingConfig.default() }).toEqual({ batchSize: 4, epochs: 1, incrementalUpdate: false });
    expect({ ...TrainingConfig.fast() }).toEqual({ batchSize: 8, epochs: 1, incrementalUpdate: false });
    expect({ ...TrainingConfig.thorough() }).toEqual({ batchSize: 4, epochs: 3, incrementalUpdate: false });
    expect(TrainingConfig.default().with({ incrementalUpdate: true }).incrementalUpdate).toBe(true);
  });

  it.each([
    [{}, 'valid'],
    [{ batchSize: 0, epochs: 0 }, 'Batch size must be positive'],
    [{ batchSize: Number.NaN }, 'Batch size must be positive'],
    [{ batchSize: 2.5 }, 'Batch size must be a whole number'],
    [{ epochs: -1 }, 'Epochs must be positive'],
    [{ epochs: Infinity }, 'Epochs must be positive'],
    [{ incrementalUpdate: 'yes' as never }, 'Incremental update must be true or false'],
  ])('%j: %s', (fields, message) => {
    expect(messageOf(new TrainingConfig(fields))).toBe(message);
  });
});

describe('a training example', () => {
  it.each([
    [['in', 'out'], 'valid'],
    [['in', 'out', 0.5], 'valid'],
    [['', '', 0], 'Input cannot be empty'],
    [[' \n', 'out'], 'Input cannot be empty'],
    [['in', '\t', 0], 'Output cannot be empty'],
    [['in', 'out', 0], 'Weight must be positive'],
    [['in', 'out', Number.NaN], 'Weight must be positive'],
    [['in', 'out', Infinity], 'Weight must be positive'],
    [[null, 'out'], 'Input cannot be empty'],
  ])('%j: %s', ([input, output, weight], message) => {
    expect(messageOf(new TrainingExample(input as string, output as string, weight as number))).toBe(message);
  });
});

describe('a feedback signal', () => {
  it('is clamped by its factories', () => {
    expect(FeedbackSignal.userCorrection('x')).toMatchObject({ type: 'userCorrection', score: 1, correction: 'x' });
    expect([FeedbackSignal.success().score, FeedbackSignal.success(3).score, FeedbackSignal.success(-3).score]).toEqual(
      [1, 1, 0],
    );
    expect([FeedbackSignal.failure().score, FeedbackSignal.failure(-3).score, FeedbackSignal.failure(3).score]).toEqual(
      [-1, -1, 0],
    );
    expect([FeedbackSignal.preference(0.7).score, FeedbackSignal.preference(7).score]).toEqual([0.7, 1]);
    expect(FeedbackSignal.preference(0.7, 'worse').rejected).toBe('worse');
  });

  it.each([
    [FeedbackSignal.success(), 'valid'],
    [FeedbackSignal.failure(), 'valid'],
    [FeedbackSignal.failure(0), 'valid'],
    [FeedbackSignal.preference(0), 'valid'],
    [FeedbackSignal.userCorrection('x'), 'valid'],
    [FeedbackSignal.success(Number.NaN), 'Score must be between -1.0 and 1.0'],
    [new FeedbackSignal('successSignal', 1.5), 'Score must be between -1.0 and 1.0'],
    [new FeedbackSignal('failureSignal', 0.5), 'Score of a failure signal must not be positive'],
    [new FeedbackSignal('successSignal', -0.5), 'Only a failure signal has a negative score'],
    [FeedbackSignal.userCorrection(' '), 'User correction requires correction text'],
    [new FeedbackSignal('userCorrection', 1), 'User correction requires correction text'],
    [FeedbackSignal.preference(1, ''), 'Rejected text cannot be empty'],
    [new FeedbackSignal('praise' as never, 1), expect.stringContaining('Feedback type must be one of')],
  ])('%o: %s', (signal, message) => {
    expect(messageOf(signal)).toEqual(message);
  });
});

describe('the metadata of an adapter', () => {
  const create = () => AdapterMetadata.create(newAdapterId(), 'task', AdapterConfig.default(), 'path', 'base');

  it('begins untrained', () => {
    const before = Date.now();
    const metadata = create();
    expect(metadata).toMatchObject({ taskName: 'task', blobStoragePath: 'path', trainingExampleCount: 0, version: 1 });
    expect(metadata.performanceScore).toBeUndefined();
    expect(metadata.createdAt).toEqual(metadata.lastTrainedAt);
    expect(metadata.createdAt.getTime()).toBeGreaterThanOrEqual(before);
  });

  it('counts trainings, and keeps a score where there is no new one', () => {
    const first = create();
    const second = first.withTraining(5, { blobStoragePath: 'other', memoryStoragePath: 'memory' }, 0.75);
    const third = second.withTraining(2, { blobStoragePath: 'third' });
    expect(third).toMatchObject({
      trainingExampleCount: 7,
      performanceScore: 0.75,
      version: 3,
      blobStoragePath: 'third',
    });
    expect(first).toMatchObject({ trainingExampleCount: 0, version: 1, blobStoragePath: 'path' });
    expect(third.createdAt).toEqual(first.createdAt);
    expect(third.history.map(({ version, blobStoragePath }) => [version, blobStoragePath])).toEqual([
      [2, 'other'],
      [1, 'path'],
    ]);
    const back = third.withVersion(third.history[1]);
    expect(back).toMatchObject({ version: 4, blobStoragePath: 'path', trainingExampleCount: 0 });
    expect([back.performanceScore, back.memoryStoragePath]).toEqual([undefined, undefined]);
    expect(back.history.map(({ version }) => version)).toEqual([3, 2, 1]);
    for (const bad of [-1, 1.5, Number.NaN]) {
      expect(() => first.withTraining(bad, { blobStoragePath: 'x' })).toThrow(
        expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
      );
    }
  });
});

describe('the id of an adapter', () => {
  it('is a UUID in lower case', () => {
    const id = newAdapterId();
    expect(parseAdapterId(id)).toEqual(some(id));
    expect(parseAdapterId(id.toUpperCase())).toEqual(some(id));
    expect(newAdapterId()).not.toBe(id);
    for (const text of ['', 'x', `${id}0`, `../${id}`, 7 as never]) expect(parseAdapterId(text)).toEqual(none());
  });
});
