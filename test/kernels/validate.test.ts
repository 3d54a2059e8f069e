import { expect, test } from 'vitest';
import { LorakeetError } from '../../src/errors.js';
import { validatePoolConfig } from '../../src/kernels/validate.js';

const GOOD = {
  rank: 4,
  inFeatures: 64,
  outFeatures: 64,
  scaling: 0.25,
  residual: true,
  capacity: 1000,
  optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  ewc: { form: 'proximal', lambda: 0.5 },
  stateDtype: 'bf16',
  learningRate: 0.001,
  maxGradNorm: Infinity,
  threads: 2,
};

test('a good config comes back as a frozen copy', () => {
  const config = validatePoolConfig(GOOD);
  expect(config).toEqual(GOOD);
  expect(config).not.toBe(GOOD);
  expect(Object.isFrozen(config) && Object.isFrozen(config.optimizer) && Object.isFrozen(config.ewc)).toBe(true);
});

test.each([
  ['rank', { rank: 257 }, 'rank: got 257, expected an integer from 1 to 256'],
  ['inFeatures', { inFeatures: 0 }, 'inFeatures: got 0, expected an integer from 1 to 8192'],
  ['capacity', { capacity: 2 ** 31 }, 'capacity: got 2147483648, expected an integer from 1 to 2147483647'],
  ['residual', { outFeatures: 32 }, 'residual: got true, expected inFeatures (64) = outFeatures (32)'],
  [
    'beta',
    { optimizer: { ...GOOD.optimizer, beta2: 1 } },
    'optimizer.beta2: got 1, expected a number at least 0 and below 1',
  ],
  ['kind', { optimizer: { kind: 'lion' } }, 'optimizer.kind: got "lion", expected one of sgd, adamw'],
  [
    'a setting of the other optimizer',
    { optimizer: { kind: 'sgd', weightDecay: 0, beta1: 0.9 } },
    'optimizer.beta1: got 0.9',
  ],
  [
    'lambda',
    { ewc: { form: 'proximal', lambda: Number.NaN } },
    'ewc.lambda: got NaN, expected a finite number at least 0',
  ],
  ['stateDtype', { stateDtype: 'fp16' }, 'stateDtype: got "fp16", expected one of fp32, bf16'],
  ['an unknown field', { learnRate: 0.1 }, 'config.learnRate: got 0.1, expected no such option'],
])('the message names the field: %s', (_name, spoilt, message) => {
  const attempt = (): unknown => validatePoolConfig({ ...GOOD, ...spoilt });
  expect(attempt).toThrow(LorakeetError);
  expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_INVALID_CONFIG' }));
  expect(attempt).toThrow(message);
});
