/** What PEFT's own add_weighted_adapter made (golden/make_peft_merges.py), and what that has against it. */
import { describe, expect, it } from 'vitest';
import { average, type PeftCompatOptions, peftCompat, taskArithmetic, ties } from '../../src/merge/index.js';
import {
  adapterOf,
  codeOf,
  deltaOf,
  distance,
  golden,
  type JsonAdapter,
  moduleOf,
  randomModule,
  single,
} from './helpers.js';

interface PeftSet {
  adapters: JsonAdapter[];
  cases: { options: PeftCompatOptions; scaling: number; expected: Record<string, number[]> }[];
}

const { peft, sets } = golden<{ peft: string; sets: PeftSet[] }>('peft_merges.json');
const cases = sets.flatMap(({ adapters, cases }) =>
  cases.map((entry) => [JSON.stringify(entry.options), adapters.map(adapterOf), entry] as const),
);

describe(`peftCompat, against PEFT ${peft}`, () => {
  it.each(cases)('%s', (_, adapters, { options, scaling, expected }) => {
    const result = peftCompat(adapters.slice(0, options.weights.length), options);
    for (const [name, delta] of Object.entries(expected)) {
      const module = moduleOf(result, name);
      expect(module.scaling).toBeCloseTo(scaling, 12);
      expect(distance(deltaOf(module), delta), name).toBeLessThan(1e-5);
    }
  });

  it('is not what the merge of the same name gives, where PEFT mixes factors', () => {
    const [, adapters, { options }] = cases[0];
    const exact = taskArithmetic(adapters, { weights: options.weights });
    const mixed = peftCompat(adapters, options);
    expect(distance(deltaOf(moduleOf(mixed, 'q')), deltaOf(moduleOf(exact, 'q')))).toBeGreaterThan(0.3);
  });

  it('gives twice what two equal adapters of half weight are: the cross terms count', () => {
    const adapter = single(randomModule(1, 6, 5, 2));
    const delta = deltaOf(moduleOf(average([adapter, adapter])));
    const mixed = peftCompat([adapter, adapter], { combinationType: 'linear', weights: [0.5, 0.5] });
    expect(
      distance(
        deltaOf(moduleOf(mixed)),
        delta.map((value) => 2 * value),
      ),
    ).toBeLessThan(1e-6);
  });

  it('draws masks of the right density for dare', () => {
    const adapters = [1, 2].map((seed) => single(randomModule(seed, 100, 100, 50)));
    const options = { combinationType: 'dare_linear', density: 0.3, weights: [1, 0] } as const;
    const { loraA } = moduleOf(peftCompat(adapters, options));
    const kept = loraA.filter((value) => value !== 0).length / loraA.length;
    expect(kept).toBeGreaterThan(0.27);
    expect(kept).toBeLessThan(0.33);
    const again = moduleOf(peftCompat(adapters, { ...options, seed: 1 }));
    expect(distance(again.loraA, loraA)).toBeGreaterThan(0.1);
  });

  it('elects plus where nobody wins, unlike ties', () => {
    const column = (loraB: number[]) =>
      single({
        rank: 1,
        inFeatures: 1,
        outFeatures: 1,
        loraA: Float32Array.of(1),
        loraB: Float32Array.from(loraB),
        scaling: 1,
      });
    const adapters = [column([2]), column([-2])];
    const options = { weights: [1, 1], density: 1 };
    expect(deltaOf(moduleOf(peftCompat(adapters, { ...options, combinationType: 'ties_svd' })))).toEqual([2]);
    expect(deltaOf(moduleOf(ties(adapters, options)))).toEqual([0]);
  });

  const adapters = [single(randomModule(1, 6, 5, 2)), single(randomModule(2, 6, 5, 3))];
  it.each<[object, string]>([
    [{ combinationType: 'sum' }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'linear' }, 'ERR_MERGE_MISMATCH'],
    [{ combinationType: 'ties_svd' }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'ties_svd', density: 0 }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'svd', svdRank: 0 }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'cat', weights: [1] }, 'ERR_LENGTH_MISMATCH'],
    [{ combinationType: 'cat', weights: undefined }, 'ERR_INVALID_ARGUMENT'],
    [{ combinationType: 'cat', majoritySign: 'loud' }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'cat', seed: -1 }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'cat', useRslora: 1 }, 'ERR_INVALID_CONFIG'],
    [{ combinationType: 'cat', rank: 3 }, 'ERR_INVALID_CONFIG'],
  ])('refuses %o', (options, code) => {
    expect(codeOf(() => peftCompat(adapters, { weights: [1, 1], ...options } as unknown as PeftCompatOptions))).toBe(
      code,
    );
  });
});
