/** What every merge must do, whatever its numbers. */
import { describe, expect, it } from 'vitest';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import {
  average,
  concatenate,
  dareLinear,
  dareTies,
  type MergeResult,
  magnitudePrune,
  precisionAverage,
  taskArithmetic,
  ties,
  truncate,
  tsv,
  weightedAverage,
} from '../../src/merge/index.js';
import { deltaOf, distance, moduleOf, randomModule, refactored, single } from './helpers.js';

type WeightedMerge = (adapters: readonly LoraModules[], weights: number[]) => MergeResult;

/** Every merge with weights, at the rank it would choose and at one that is too small. */
const merges: Record<string, WeightedMerge> = {
  average: (adapters) => average(adapters),
  'average at rank 2': (adapters) => average(adapters, { rank: 2 }),
  weightedAverage: (adapters, weights) => weightedAverage(adapters, { weights, rank: 4 }),
  taskArithmetic: (adapters, weights) => taskArithmetic(adapters, { weights, rank: 3 }),
  concatenate: (adapters, weights) => concatenate(adapters, { weights }),
  ties: (adapters, weights) => ties(adapters, { weights, density: 0.3 }),
  'ties by frequency': (adapters, weights) =>
    ties(adapters, { weights, density: 0.6, majoritySign: 'frequency', rank: 24 }),
  'ties in core space': (adapters, weights) => ties(adapters, { weights, density: 0.3, space: 'core' }),
  magnitudePrune: (adapters, weights) => magnitudePrune(adapters, { weights, density: 0.2 }),
  dareLinear: (adapters, weights) => dareLinear(adapters, { weights, density: 0.5, seed: 3 }),
  'dareLinear in core space': (adapters, weights) => dareLinear(adapters, { weights, density: 0.5, space: 'core' }),
  dareTies: (adapters, weights) => dareTies(adapters, { weights, density: 0.4, rank: 24 }),
  tsv: (adapters, weights) => tsv(adapters, { weights }),
  'tsv at rank 2': (adapters, weights) => tsv(adapters, { weights, rank: 2, keep: 2 }),
};

const modules = [randomModule(1, 30, 24, 3, 2), randomModule(2, 30, 24, 5, 0.25), randomModule(3, 30, 24, 2, -1.5)];
const adapters = modules.map(single);
const weights = [0.7, -0.3, 1.2];

describe.each(Object.entries(merges))('%s', (_, merge) => {
  const delta = deltaOf(moduleOf(merge(adapters, weights)));

  it('does not depend on the factors of an input', () => {
    const others = modules.map((module, i) => single(refactored(module, 10 + i)));
    expect(distance(others[0].get('m')?.loraA as Float32Array, modules[0].loraA)).toBeGreaterThan(0.3);
    expect(distance(deltaOf(moduleOf(merge(others, weights))), delta)).toBeLessThan(1e-4);
  });

  it('does not depend on how a factor is shared between A and the scaling', () => {
    const others = modules.map((module) =>
      single({ ...module, loraA: module.loraA.map((value) => value * 1024), scaling: module.scaling / 1024 }),
    );
    expect(distance(deltaOf(moduleOf(merge(others, weights))), delta)).toBeLessThan(1e-5);
  });

  it('does not depend on the order of the inputs', () => {
    const order = [2, 0, 1];
    const turned = merge(
      order.map((i) => adapters[i]),
      order.map((i) => weights[i]),
    );
    expect(distance(deltaOf(moduleOf(turned)), delta)).toBeLessThan(1e-5);
  });

  it('turns its sign with the inputs', () => {
    const negated = modules.map((module) => single({ ...module, scaling: -module.scaling }));
    // a mask may go to another adapter then
    if (_.startsWith('dare')) return;
    const negative = deltaOf(moduleOf(merge(negated, weights))).map((value) => -value);
    expect(distance(negative, delta)).toBeLessThan(1e-5);
  });

  it('is the same every time, and changes no input', () => {
    const before = modules.map(({ loraA, loraB }) => [...loraA, ...loraB]);
    const again = moduleOf(merge(adapters, weights));
    const first = moduleOf(merge(adapters, weights));
    expect(again.loraA).toEqual(first.loraA);
    expect(again.loraB).toEqual(first.loraB);
    expect(modules.map(({ loraA, loraB }) => [...loraA, ...loraB])).toEqual(before);
  });

  it('merges zeros to zero', () => {
    const zero = single({ ...modules[0], loraB: new Float32Array(modules[0].loraB.length) });
    const result = merge([zero, zero], [1, 1]);
    expect(deltaOf(moduleOf(result)).every((value) => value === 0)).toBe(true);
    expect(result.residual).toBe(0);
  });
});

describe('vectors that can be checked by hand', () => {
  // ΔW₁ = (4, −1, 3, ½, −2), ΔW₂ = (2, 5, −3, 1, −4), the second with scaling 2
  const column = (loraB: number[], scaling: number) =>
    single({
      rank: 1,
      inFeatures: 1,
      outFeatures: 5,
      loraA: Float32Array.of(1),
      loraB: Float32Array.from(loraB),
      scaling,
    });
  const pair = [column([4, -1, 3, 0.5, -2], 1), column([1, 2.5, -1.5, 0.5, -2], 2)];
  const expected: [string, MergeResult, number[]][] = [
    ['average', average(pair), [3, 2, 0, 0.75, -3]],
    ['weightedAverage 1 : 3', weightedAverage(pair, { weights: [1, 3] }), [2.5, 3.5, -1.5, 0.875, -3.5]],
    ['taskArithmetic', taskArithmetic(pair), [6, 4, 0, 1.5, -6]],
    ['taskArithmetic, the second taken away', taskArithmetic(pair, { weights: [1, -1] }), [2, -6, 6, -0.5, 2]],
    // (4, 0, 3, 0, −2) and (0, 5, −3, 0, −4) are left; nobody wins the third place
    ['ties', ties(pair, { density: 0.6 }), [4, 5, 0, 0, -3]],
    ['magnitudePrune', magnitudePrune(pair, { density: 0.6 }), [4, 5, 0, 0, -6]],
    ['dareLinear at density 1', dareLinear(pair, { density: 1 }), [6, 4, 0, 1.5, -6]],
  ];

  it.each(expected)('%s', (_, result, delta) => {
    expect(distance(deltaOf(moduleOf(result)), delta)).toBeLessThan(1e-6);
    expect(result.residual).toBeLessThan(1e-6);
  });

  it('differ by strategy', () => {
    const four = expected.filter(([name]) => !/second|Prune|dare/.test(name)).map(([, , delta]) => delta.join());
    expect(new Set(four).size).toBe(4);
  });

  it('elects by frequency where that is another sign', () => {
    const three = [column([9, 0, 0, 0, 0], 1), column([-1, 0, 0, 0, 0], 1), column([-3, 0, 0, 0, 0], 1)];
    expect(deltaOf(moduleOf(ties(three, { density: 1 })))[0]).toBeCloseTo(9, 6);
    expect(deltaOf(moduleOf(ties(three, { density: 1, majoritySign: 'frequency' })))[0]).toBeCloseTo(-2, 6);
  });

  it('keeps entries that equal the smallest one kept', () => {
    const equal = column([2, -2, 2, 1, 2], 1);
    expect(distance(deltaOf(moduleOf(magnitudePrune([equal], { density: 0.2 }))), [2, -2, 2, 0, 2])).toBeLessThan(1e-6);
  });
});

describe('merging what is the same', () => {
  const [module] = modules;
  const delta = deltaOf(module);
  const twice = [single(module), single(refactored(module, 5))];
  it.each<[string, MergeResult]>([
    ['average', average(twice)],
    ['average at its rank', average(twice, { rank: 3 })],
    ['ties', ties(twice, { density: 1 })],
    ['ties in core space', ties(twice, { density: 1, space: 'core' })],
    ['tsv', tsv(twice, { rank: 3 })],
    ['one alone: tsv', tsv([twice[1]])],
    ['one alone: concatenate', concatenate([twice[1]])],
    ['one alone: truncate', truncate(twice[1], { rank: 7 })],
  ])('changes nothing: %s', (_, result) => {
    expect(distance(deltaOf(moduleOf(result)), delta)).toBeLessThan(1e-5);
    expect(result.residual).toBeLessThan(1e-5);
  });

  it('takes an adapter away from itself', () => {
    const nothing = deltaOf(moduleOf(taskArithmetic(twice, { weights: [1, -1], rank: 3 })));
    expect(Math.max(...nothing.map(Math.abs))).toBeLessThan(1e-5);
  });
});

describe('rank and residual', () => {
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

  it('is exact at Σ rankᵢ and never worse than at a smaller rank', () => {
    const exact = deltaOf(moduleOf(average(adapters)));
    let before = 1;
    for (let rank = 1; rank <= 10; rank++) {
      const result = average(adapters, { rank });
      const module = moduleOf(result);
      expect([module.rank, module.scaling]).toEqual([rank, 1]);
      const missed = norm(deltaOf(module).map((value, i) => value - exact[i])) / norm(exact);
      expect(result.residual).toBeCloseTo(missed, 5);
      expect(result.residual).toBeLessThan(before);
      before = result.residual + 1e-9;
    }
    expect(average(adapters).residual).toBe(0);
    expect(moduleOf(average(adapters)).rank).toBe(10);
  });

  it('shares the singular values between both sides', () => {
    const { rank, inFeatures, outFeatures, loraA, loraB } = moduleOf(average(adapters, { rank: 3 }));
    for (let k = 0; k < rank; k++) {
      const row = norm(Array.from({ length: inFeatures }, (_, j) => loraA[k * inFeatures + j]));
      const column = norm(Array.from({ length: outFeatures }, (_, o) => loraB[o * rank + k]));
      expect(row / column).toBeCloseTo(1, 5);
    }
  });

  it('weighs modules by their size in the residual of the whole', () => {
    const both = (a: number, b: number) =>
      new Map([
        ['a', randomModule(a, 9, 8, 4)],
        ['b', randomModule(b, 9, 8, 1, 30)],
      ]);
    const result = average([both(1, 2), both(3, 4)], { rank: 2 });
    expect(result.residuals.get('b')).toBe(0);
    const exact = average([both(1, 2), both(3, 4)]);
    const deltas = ['a', 'b'].map((name) => deltaOf(moduleOf(exact, name)));
    const share = norm(deltas[0]) / norm(deltas.flat());
    expect(result.residual).toBeCloseTo((result.residuals.get('a') as number) * share, 6);
  });

  it('pads with zeros where there is no more to hold', () => {
    const module = moduleOf(truncate(adapters[2], { rank: 4 }));
    expect(module.loraA.subarray(2 * 24).every((value) => value === 0)).toBe(true);
    expect(distance(deltaOf(module), deltaOf(modules[2]))).toBeLessThan(1e-6);
    const wide = moduleOf(ties(adapters, { density: 0.5, rank: 40 }));
    expect(wide.rank).toBe(40);
    expect(ties(adapters, { density: 0.5, rank: 40 }).residual).toBeLessThan(1e-6);
  });

  it('takes no larger rank than the matrix has by itself', () => {
    const flat = [1, 2, 3].map((seed) => single(randomModule(seed, 4, 50, 3)));
    const result = average(flat);
    expect(moduleOf(result).rank).toBe(4);
    expect(result.residual).toBeLessThan(1e-6);
  });
});

describe('fisher and anchor', () => {
  const withFisher = modules.map((module, i) => {
    const length = module.rank * (module.inFeatures + module.outFeatures);
    const anchor = Float32Array.from([...module.loraA, ...module.loraB]);
    return single({ ...module, fisher: new Float32Array(length).fill(i + 1), anchor });
  });

  it.each(Object.entries<WeightedMerge>({ ...merges, precisionAverage: (all) => precisionAverage(all, { rank: 4 }) }))(
    'an anchor that is the weights stays the weights: %s',
    (_, merge) => {
      const { loraA, loraB, anchor, fisher } = moduleOf(merge(withFisher, weights));
      expect(distance(anchor as Float32Array, [...loraA, ...loraB])).toBeLessThan(1e-6);
      expect((fisher as Float32Array).every((value) => value >= 0)).toBe(true);
      expect((fisher as Float32Array).some((value) => value > 0)).toBe(true);
    },
  );

  it.each<[string, WeightedMerge]>([
    ['average', (all) => average(all)],
    ['average at rank 3', (all) => average(all, { rank: 3 })],
    ['taskArithmetic at rank 2', (all, weights) => taskArithmetic(all, { weights, rank: 2 })],
    ['precisionAverage at rank 4', (all) => precisionAverage(all, { rank: 4 })],
  ])('makes new anchors of the old as it makes new factors: %s', (_, merge) => {
    const moved = withFisher.map((adapter) => {
      const module = adapter.get('m') as (typeof modules)[number];
      const anchor = [...module.loraA.map((value) => 2 * value), ...module.loraB.map((value) => -3 * value)];
      return single({ ...module, anchor: Float32Array.from(anchor) });
    });
    const { loraA, loraB, anchor } = moduleOf(merge(moved, weights));
    const expected = [...loraA.map((value) => 2 * value), ...loraB.map((value) => -3 * value)];
    expect(distance(anchor as Float32Array, expected)).toBeLessThan(1e-6);
  });

  it('is left out unless every input has it', () => {
    for (const merge of Object.values(merges)) {
      const { fisher, anchor } = moduleOf(merge([withFisher[0], adapters[1], withFisher[2]], weights));
      expect([fisher, anchor]).toEqual([undefined, undefined]);
    }
  });

  it('lets an adapter count where it has seen something', () => {
    // the first knows the first half of the inputs, the second the rest
    const half = (module: (typeof modules)[number], first: boolean) => {
      const { rank, inFeatures, outFeatures } = module;
      const fisher = new Float32Array(rank * (inFeatures + outFeatures));
      for (let k = 0; k < rank; k++) {
        for (let j = 0; j < inFeatures; j++) fisher[k * inFeatures + j] = j < inFeatures / 2 === first ? 1 : 0;
      }
      return single({ ...module, fisher, anchor: Float32Array.from([...module.loraA, ...module.loraB]) });
    };
    const merged = deltaOf(moduleOf(precisionAverage([half(modules[0], true), half(modules[1], false)])));
    const [first, second] = modules.slice(0, 2).map(deltaOf);
    const expected = merged.map((_, at) => (at % 24 < 12 ? first[at] : second[at]));
    expect(distance(merged, expected)).toBeLessThan(1e-6);
  });

  it('knows nothing of the inputs of an adapter that was fresh', () => {
    const fresh = withFisher.map((adapter) => {
      const module = adapter.get('m') as (typeof modules)[number];
      const anchor = (module.anchor as Float32Array).slice().fill(0, module.loraA.length);
      const fisher = (module.fisher as Float32Array).slice().fill(0, 0, module.loraA.length);
      return single({ ...module, fisher, anchor });
    });
    const { fisher } = moduleOf(precisionAverage(fresh));
    expect((fisher as Float32Array).every((value) => Number.isFinite(value) && value > 0)).toBe(true);
  });
});
