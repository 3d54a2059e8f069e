import { describe, expect, it } from 'vitest';
import { hashSeed, Random, type RandomState } from '../../src/adapter/random.js';
import { codeOf, golden } from './helpers.js';

const words = (random: Random, count: number) => Array.from({ length: count }, () => random.nextUint32());

describe('Random', () => {
  // computed with the authors' C program; the first row is also the published vector of the Rust crate rand_xoshiro
  it.each<[RandomState, number[]]>([
    [
      [1, 2, 3, 4],
      [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [
        4294962679, 4294962679, 4292019319, 2943360, 1509943680, 246671744, 2681405836, 4051244843, 1053453815,
        832600121,
      ],
    ],
  ])('gives the numbers of the reference program for %s', (state, expected) => {
    expect(words(new Random(state), expected.length)).toEqual(expected);
  });

  it('agrees with the reference program after a million numbers', () => {
    const random = new Random([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
    for (let i = 0; i < 1_000_010; i++) random.nextUint32();
    expect(random.nextUint32()).toBe(1032902940);
  });

  it('fills an array with the numbers that come one by one, and goes on from there', () => {
    const [filling, calling] = [new Random([1, 2, 3, 4]), new Random([1, 2, 3, 4])];
    const values = new Float32Array(1000);
    filling.fillUniform(values, -0.3, 0.7);
    expect(values).toEqual(Float32Array.from(values, () => calling.uniform(-0.3, 0.7)));
    expect(filling.nextUint32()).toBe(calling.nextUint32());
  });

  it('is uniform in [min, max)', () => {
    const random = new Random(hashSeed(3, 'uniform'));
    const counts = new Array(16).fill(0);
    const n = 160_000;
    for (let i = 0; i < n; i++) counts[Math.floor((random.uniform(-2, 6) + 2) * 2)]++;
    expect(counts.length).toBe(16); // a number outside would have made another counter
    expect(counts.reduce((sum, count) => sum + count)).toBe(n);
    const chiSquared = counts.reduce((sum, count) => sum + (count - n / 16) ** 2 / (n / 16), 0);
    expect(chiSquared).toBeLessThan(37.7); // 15 degrees of freedom, p = 0.001
  });

  it.each([
    [[0, 0, 0, 0]],
    [[1, 2, 3]],
    [[1, 2, 3, 4, 5]],
    [[1, 2, 3, 2 ** 32]],
    [[1, 2, 3, -1]],
    [[1, 2, 3, 0.5]],
    [[1, 2, 3, undefined]],
    [undefined],
    [7],
  ])('rejects the state %j', (state) => {
    expect(codeOf(() => new Random(state as unknown as RandomState))).toBe('ERR_INVALID_ARGUMENT');
  });
});

describe('hashSeed', () => {
  it.each(golden.seeds as { seed: number; text: string; state: number[]; words: number[] }[])(
    'agrees with an independent program for ($seed, $text)',
    ({ seed, text, state, words: expected }) => {
      expect(hashSeed(seed, text)).toEqual(state);
      expect(words(new Random(hashSeed(seed, text)), expected.length)).toEqual(expected);
    },
  );

  it('gives unrelated states for related seeds and texts', () => {
    const states = [hashSeed(0, 'a'), hashSeed(1, 'a'), hashSeed(0, 'b'), hashSeed(0, 'a\0'), hashSeed(256, '')];
    expect(new Set(states.flat()).size).toBe(20);
  });

  it.each([-1, 2 ** 32, 0.5, Number.NaN, '1', undefined])('rejects the seed %s', (seed) => {
    expect(codeOf(() => hashSeed(seed as number, 'a'))).toBe('ERR_INVALID_CONFIG');
  });

  it('rejects a text that is none', () => {
    expect(codeOf(() => hashSeed(1, 5 as unknown as string))).toBe('ERR_INVALID_ARGUMENT');
  });
});
