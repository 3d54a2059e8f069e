/** Bad input is named, and refused before anything is computed. */
import { describe, expect, it } from 'vitest';
import type { LoraModule, LoraModules } from '../../src/adapter/lora-module.js';
import {
  average,
  concatenate,
  dareLinear,
  dareTies,
  magnitudePrune,
  precisionAverage,
  taskArithmetic,
  ties,
  truncate,
  tsv,
  weightedAverage,
} from '../../src/merge/index.js';
import { codeOf, randomModule, single } from './helpers.js';

const module = randomModule(1, 6, 5, 2);
const pair = [single(module), single(randomModule(2, 6, 5, 3))];
// biome-ignore lint/suspicious/noExplicitAny: what is given here has no type
type Loose = (adapters: any, options?: any) => unknown;

const all: Record<string, Loose> = {
  average,
  weightedAverage: (adapters, options) => weightedAverage(adapters, { weights: [1, 1], ...options }),
  taskArithmetic,
  concatenate,
  truncate: (adapters, options) => truncate(Array.isArray(adapters) ? adapters[0] : adapters, { rank: 1, ...options }),
  ties: (adapters, options) => ties(adapters, { density: 0.5, ...options }),
  magnitudePrune: (adapters, options) => magnitudePrune(adapters, { density: 0.5, ...options }),
  dareLinear: (adapters, options) => dareLinear(adapters, { density: 0.5, ...options }),
  dareTies: (adapters, options) => dareTies(adapters, { density: 0.5, ...options }),
  tsv,
  precisionAverage,
};

describe.each(Object.entries(all))('%s', (name, merge) => {
  const changed = (change: Partial<LoraModule>) => single({ ...module, ...change });
  it.each<[string, unknown, string, string]>([
    ['rank 0', [changed({ rank: 0 })], 'ERR_INVALID_ARGUMENT', '["m"].rank: got 0'],
    ['an array', [changed({ loraA: [1, 2] as never })], 'ERR_INVALID_ARGUMENT', '["m"].loraA'],
    ['a short A', [changed({ loraA: new Float32Array(3) })], 'ERR_LENGTH_MISMATCH', '["m"].loraA: got 3'],
    ['NaN in A', [changed({ loraA: new Float32Array(10).fill(Number.NaN, 4) })], 'ERR_NOT_FINITE', '["m"].loraA[4]'],
    ['infinity in B', [changed({ loraB: new Float32Array(12).fill(Infinity) })], 'ERR_NOT_FINITE', '["m"].loraB[0]'],
    ['NaN as scaling', [changed({ scaling: Number.NaN })], 'ERR_NOT_FINITE', '["m"].scaling'],
    ['no modules', [new Map()], 'ERR_INVALID_ARGUMENT', 'adapters[0]'],
    ['an object', [{ m: module }], 'ERR_INVALID_ARGUMENT', 'adapters[0]'],
  ])('refuses %s', (_, adapters, code, place) => {
    expect(codeOf(() => merge(adapters))).toBe(code);
    expect(() => merge(adapters)).toThrow(place);
  });

  it('refuses options that it does not have', () => {
    expect(codeOf(() => merge(pair, { rnak: 2 }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => merge(pair, { seed: 2, space: 'delta' }))).toBe(
      name.startsWith('dare') ? 'nothing thrown' : 'ERR_INVALID_CONFIG',
    );
  });

  it('refuses a rank that is none', () => {
    if (name === 'concatenate') return;
    for (const rank of [0, -1, 1.5, Number.NaN, '2', null, 2 ** 31]) {
      expect(codeOf(() => merge(pair, { rank }))).toBe('ERR_INVALID_CONFIG');
    }
  });

  it('refuses nothing, and something that is no array', () => {
    if (name === 'truncate') return;
    for (const adapters of [[], undefined, null, pair[0], 'adapters']) {
      expect(codeOf(() => merge(adapters))).toBe('ERR_INVALID_ARGUMENT');
    }
  });

  it('refuses adapters that do not belong together', () => {
    if (name === 'truncate') return;
    const other = (modules: [string, LoraModule][]): LoraModules => new Map(modules);
    for (const [adapters, place] of [
      [[pair[0], single(randomModule(2, 6, 4, 2))], 'adapters[1]["m"].inFeatures: got 4, expected 5'],
      [[pair[0], single(randomModule(2, 7, 5, 2))], 'adapters[1]["m"].outFeatures: got 7, expected 6'],
      [[pair[0], other([['n', module]])], 'adapters[1]: got no module "m"'],
      [
        [
          pair[0],
          other([
            ['m', module],
            ['n', module],
          ]),
        ],
        'adapters[0]: got no module "n"',
      ],
      [
        [
          other([
            ['m', module],
            ['n', module],
          ]),
          pair[0],
        ],
        'adapters[1]: got no module',
      ],
    ] as [LoraModules[], string][]) {
      expect(codeOf(() => merge(adapters))).toBe('ERR_MERGE_MISMATCH');
      expect(() => merge(adapters)).toThrow(place);
    }
  });

  it('refuses weights that do not fit', () => {
    if (['average', 'truncate', 'precisionAverage'].includes(name)) return;
    expect(codeOf(() => merge(pair, { weights: [1] }))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => merge(pair, { weights: [1, 2, 3] }))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => merge(pair, { weights: [1, Number.NaN] }))).toBe('ERR_NOT_FINITE');
    expect(codeOf(() => merge(pair, { weights: [1, '1'] }))).toBe('ERR_NOT_FINITE');
    expect(codeOf(() => merge(pair, { weights: 'heavy' }))).toBe('ERR_INVALID_ARGUMENT');
  });
});

describe('options of single merges', () => {
  it('weightedAverage needs a positive sum', () => {
    expect(codeOf(() => weightedAverage(pair, {} as never))).toBe('ERR_INVALID_ARGUMENT');
    for (const weights of [
      [0, 0],
      [1, -1],
      [1, -2],
    ]) {
      expect(codeOf(() => weightedAverage(pair, { weights }))).toBe('ERR_OUT_OF_RANGE');
    }
    expect(codeOf(() => weightedAverage([...pair, pair[0]], { weights: [0.1, 0.2, -0.3] }))).toBe('ERR_OUT_OF_RANGE');
    expect(codeOf(() => weightedAverage(pair, { weights: [2, -1] }))).toBe('nothing thrown');
  });

  it.each([ties, magnitudePrune, dareLinear, dareTies] as Loose[])('a density outside (0, 1]', (merge) => {
    for (const density of [0, -0.1, 1.1, Number.NaN, undefined, '0.5']) {
      expect(codeOf(() => merge(pair, { density }))).toBe('ERR_INVALID_CONFIG');
    }
    expect(codeOf(() => merge(pair, { density: 0.5, space: 'latent' }))).toBe('ERR_INVALID_CONFIG');
  });

  it('elections, seeds, shares and factors', () => {
    expect(codeOf(() => ties(pair, { density: 1, majoritySign: 'loud' as never }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => ties(pair, { density: 1, lambda: Infinity }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => dareTies(pair, { density: 1, seed: 1.5 }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => tsv(pair, { keep: 0 }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => tsv(pair, { lambda: Number.NaN }))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => truncate(pair[0], {} as never))).toBe('ERR_INVALID_CONFIG');
    expect(codeOf(() => average(pair, null as never))).toBe('ERR_INVALID_CONFIG');
  });

  it('precisionAverage needs a fisher everywhere', () => {
    expect(() => precisionAverage(pair)).toThrow('adapters[0]["m"].fisher');
    expect(codeOf(() => precisionAverage(pair))).toBe('ERR_INVALID_ARGUMENT');
  });

  it('a result beyond float32, however it got there', () => {
    for (const weight of [1e39, 1e200, 1e308]) {
      const weights = [weight, weight];
      expect(codeOf(() => concatenate(pair, { weights }))).toBe('ERR_NOT_FINITE');
      expect(codeOf(() => taskArithmetic(pair, { weights: weights.map((w) => w * 1), rank: 1 }))).toMatch(
        weight < 1e70 ? /nothing thrown/ : /ERR_NOT_FINITE/,
      );
      expect(codeOf(() => magnitudePrune(pair, { weights, density: 1 }))).toBe('ERR_NOT_FINITE');
    }
  });
});
