/** Pool configurations that every backend must refuse, one bad field at a time. */
import {
  type KernelBackend,
  MAX_CAPACITY,
  MAX_FEATURES,
  MAX_RANK,
  MAX_THREADS,
  type PoolConfig,
} from '../kernels/contract.js';
import { ADAMW, assertThrows, poolConfig } from './harness.js';

// biome-ignore lint/suspicious/noExplicitAny: the point is to hand in what the types forbid
type Anything = any;

/** Integers: [field, smallest, largest]. */
const INTEGERS: [keyof PoolConfig, number, number][] = [
  ['rank', 1, MAX_RANK],
  ['inFeatures', 1, MAX_FEATURES],
  ['outFeatures', 1, MAX_FEATURES],
  ['capacity', 1, MAX_CAPACITY],
  ['threads', 1, MAX_THREADS],
];

export function checkConfigs(backend: KernelBackend): void {
  const refused = (what: string, overrides: Record<string, unknown>): void =>
    assertThrows(what, 'ERR_INVALID_CONFIG', () =>
      backend.createPool({ ...poolConfig(), ...overrides } as Anything).close(),
    );
  for (const [field, min, max] of INTEGERS) {
    for (const value of [min - 1, max + 1, 1.5, -1, Number.NaN, Infinity, '2', null, undefined]) {
      refused(`${field} ${value}`, { [field]: value });
    }
    backend.createPool(poolConfig({ [field]: min })).close();
  }
  for (const value of [Number.NaN, Infinity, 1e39, '1', undefined]) refused(`scaling ${value}`, { scaling: value });
  for (const value of [Number.NaN, Infinity, -0.1, undefined])
    refused(`learningRate ${value}`, { learningRate: value });
  for (const value of [Number.NaN, 0, -1, undefined]) refused(`maxGradNorm ${value}`, { maxGradNorm: value });
  for (const value of ['fp16', 0, null, undefined]) refused(`stateDtype ${value}`, { stateDtype: value });
  for (const value of [0, 'true', undefined]) refused(`residual ${value}`, { residual: value });
  refused('residual with another size', { residual: true, inFeatures: 4 });
  refused('an unknown field', { learnRate: 1 });
  const optimizers: Record<string, unknown>[] = [
    { kind: 'adam' },
    { weightDecay: -1 },
    { weightDecay: Number.NaN },
    { beta1: 1 },
    { beta2: -0.1 },
    { epsilon: 0 },
    { nesterov: true },
  ];
  for (const spoilt of optimizers)
    refused(`optimizer ${JSON.stringify(spoilt)}`, { optimizer: { ...ADAMW, ...spoilt } });
  for (const value of [null, undefined, 'sgd']) refused(`optimizer ${value}`, { optimizer: value });
  for (const value of [
    undefined,
    1,
    { form: 'both', lambda: 1 },
    { form: 'proximal', lambda: -1 },
    { form: 'proximal' },
  ]) {
    refused(`ewc ${JSON.stringify(value)}`, { ewc: value });
  }
  for (const nothing of [undefined, null, 5] as Anything[]) {
    assertThrows(`the config ${nothing}`, 'ERR_INVALID_CONFIG', () => backend.createPool(nothing));
  }
}
