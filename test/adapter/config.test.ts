import { describe, expect, it } from 'vitest';
import { parameterCountOf, requireAdapterShape, requireSameShape, scalingOf } from '../../src/adapter/config.js';
import { codeOf } from './helpers.js';

const shape = { rank: 4, inFeatures: 64, outFeatures: 32, alpha: 8, rsLora: false };

describe('requireAdapterShape', () => {
  it('returns a copy with rsLora filled in', () => {
    const { rsLora, ...rest } = shape;
    const checked = requireAdapterShape('shape', rest);
    expect(checked).toEqual(shape);
    expect(checked).not.toBe(rest);
    expect(requireAdapterShape('shape', { ...rest, rsLora: true }).rsLora).toBe(true);
  });

  it('takes the limits themselves', () => {
    const largest = { rank: 256, inFeatures: 8192, outFeatures: 8192, alpha: -1e300, rsLora: true };
    expect(requireAdapterShape('shape', largest)).toEqual(largest);
    expect(requireAdapterShape('shape', { rank: 1, inFeatures: 1, outFeatures: 1, alpha: 0 }).rank).toBe(1);
  });

  const wrongIntegers = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '4', null, undefined, 4n];
  const wrong: [string, unknown][] = [
    ...wrongIntegers.flatMap((value): [string, unknown][] => [
      ['rank', value],
      ['inFeatures', value],
      ['outFeatures', value],
    ]),
    ['rank', 257],
    ['inFeatures', 8193],
    ['outFeatures', 8193],
    ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, '1', null, undefined].map(
      (value): [string, unknown] => ['alpha', value],
    ),
    ['rsLora', 1],
    ['rsLora', 'yes'],
  ];
  it.each(wrong)('rejects %s = %s, naming the field', (key, value) => {
    const action = () => requireAdapterShape('shape', { ...shape, [key]: value });
    expect(codeOf(action)).toBe('ERR_INVALID_CONFIG');
    expect(action).toThrow(`shape.${key}: got `);
  });

  it('rejects unknown keys and what is no object', () => {
    expect(() => requireAdapterShape('shape', { ...shape, ranks: 4 })).toThrow(/shape\.ranks: got 4/);
    for (const value of [undefined, null, 4, 'shape', () => shape]) {
      expect(codeOf(() => requireAdapterShape('shape', value))).toBe('ERR_INVALID_CONFIG');
    }
  });
});

describe('scalingOf', () => {
  it('is alpha/rank, or alpha/√rank for rsLoRA', () => {
    expect(scalingOf(shape)).toBe(2);
    expect(scalingOf({ ...shape, rsLora: true })).toBe(4);
    expect(scalingOf({ ...shape, rsLora: undefined })).toBe(2);
  });
});

it('parameterCountOf is rank · (inFeatures + outFeatures)', () => {
  expect(parameterCountOf(shape)).toBe(384);
});

describe('requireSameShape', () => {
  it('accepts another way to say the same', () => {
    requireSameShape('adapter', shape, { ...shape, alpha: 4, rsLora: true });
  });

  it.each([
    ['rank', { ...shape, rank: 8, alpha: 16 }],
    ['inFeatures', { ...shape, inFeatures: 63 }],
    ['outFeatures', { ...shape, outFeatures: 33 }],
    ['alpha', { ...shape, alpha: 9 }],
    ['alpha', { ...shape, rsLora: true }],
  ])('rejects another %s', (key, other) => {
    const action = () => requireSameShape('adapter', other, shape);
    expect(codeOf(action)).toBe('ERR_ADAPTER_MISMATCH');
    expect(action).toThrow(`adapter.${key}: got `);
  });
});
