import { describe, expect, it } from 'vitest';
import { createAdapterPool, createLoRAPersonalizationEngine, type LoRAConfig } from '../../src/index.js';
import { grantedCores } from '../../src/kernels/threads.js';
import { learningRateAt, resolveConfig } from '../../src/personalization/options.js';
import { coded, quiet } from './samples.js';

it('has the documented defaults', () => {
  expect(resolveConfig()).toMatchObject({
    rank: 4,
    embeddingDim: 64,
    scalingFactor: 1,
    learningRate: 0.001,
    useEWC: true,
    ewcLambda: 0.5,
    stateDtype: 'fp32',
    gradientClipThreshold: 1,
    seed: 0,
    backend: 'auto',
    threads: Math.min(grantedCores(), 256),
    optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    learningRateSchedule: { initial: 10, final: 1, halvedAfter: 100 },
  });
});

it('takes undefined for not given', () => {
  expect(resolveConfig({ rank: undefined, optimizer: { kind: 'adamw', beta2: undefined } })).toEqual(resolveConfig());
});

const wrong: [keyof LoRAConfig, unknown][] = [
  ['rank', 0],
  ['rank', 2.5],
  ['rank', 65],
  ['rank', '4'],
  ['rank', null],
  ['embeddingDim', 0],
  ['embeddingDim', 8193],
  ['embeddingDim', Number.NaN],
  ['scalingFactor', 0],
  ['scalingFactor', Number.NaN],
  ['learningRate', 0],
  ['learningRate', -1],
  ['learningRate', Number.POSITIVE_INFINITY],
  ['useEWC', 1],
  ['ewcLambda', -0.1],
  ['ewcLambda', Number.NaN],
  ['gradientClipThreshold', 0],
  ['gradientClipThreshold', Number.POSITIVE_INFINITY],
  ['stateDtype', 'fp16'],
  ['stateDtype', null],
  ['seed', -1],
  ['seed', 2 ** 32],
  ['optimizer', 'adam'],
  ['optimizer', { kind: 'adamw', beta1: 1 }],
  ['optimizer', { kind: 'adamw', momentum: 0.9 }],
  ['optimizer', { kind: 'sgd', beta1: 0.9 }],
  ['optimizer', { kind: 'sgd', weightDecay: -1 }],
  ['optimizer', 7],
  ['learningRateSchedule', 'linear'],
  ['learningRateSchedule', { initial: -1 }],
  ['learningRateSchedule', { halvedAfter: 0 }],
  ['learningRateSchedule', { warmup: 3 }],
  ['backend', 'gpu'],
  ['threads', 0],
  ['threads', 257],
  ['logger', { info() {} }],
];

describe('a wrong option is rejected by name', () => {
  for (const [name, value] of wrong) {
    it(`${name}: ${JSON.stringify(value) ?? value}`, () => {
      const config = { [name]: value } as LoRAConfig;
      expect(() => createLoRAPersonalizationEngine(config)).toThrow(coded('ERR_INVALID_CONFIG', name));
      expect(() => createAdapterPool(config)).toThrow(coded('ERR_INVALID_CONFIG', name));
    });
  }

  it('an option that does not exist', () => {
    const config = { learningrate: 0.1 } as LoRAConfig;
    expect(() => createLoRAPersonalizationEngine(config)).toThrow(coded('ERR_INVALID_CONFIG', 'config.learningrate'));
    expect(() => createLoRAPersonalizationEngine(4 as LoRAConfig)).toThrow(coded('ERR_INVALID_CONFIG', 'config'));
  });

  it('capacity and items of a pool', () => {
    expect(() => createAdapterPool({ ...quiet, capacity: 0 })).toThrow(coded('ERR_INVALID_CONFIG', 'capacity'));
    expect(() => createAdapterPool({ ...quiet, items: new Float32Array(65) })).toThrow(coded('ERR_LENGTH_MISMATCH'));
    expect(() => createAdapterPool({ ...quiet, items: new Float32Array(64).fill(Number.NaN) })).toThrow(
      coded('ERR_NOT_FINITE'),
    );
    expect(() => createAdapterPool({ ...quiet, items: [] as unknown as Float32Array })).toThrow(
      coded('ERR_INVALID_ARGUMENT'),
    );
  });
});

describe('the step size', () => {
  it('falls from ten times the learning rate towards it, half of the way in 100 updates', () => {
    const config = resolveConfig();
    expect(learningRateAt(config, 0)).toBeCloseTo(0.01, 12);
    expect(learningRateAt(config, 100)).toBeCloseTo(0.0055, 12);
    expect(learningRateAt(config, 1e9)).toBeCloseTo(0.001, 6);
  });

  it('is the learning rate itself with SGD, or when asked to be constant', () => {
    expect(learningRateAt(resolveConfig({ optimizer: 'sgd', learningRate: 0.3 }), 0)).toBe(0.3);
    expect(learningRateAt(resolveConfig({ learningRateSchedule: 'constant' }), 7)).toBe(0.001);
  });

  it('can decay to nothing', () => {
    const config = resolveConfig({ learningRate: 1, learningRateSchedule: { initial: 1, final: 0, halvedAfter: 1 } });
    expect([0, 1, 3].map((updates) => learningRateAt(config, updates))).toEqual([1, 0.5, 0.25]);
  });
});
