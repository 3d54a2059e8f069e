/** Every merge against numpy on whole ΔW (golden/make_merges.py), on the addon and in JavaScript. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import * as merges from '../../src/merge/index.js';
import { adapterOf, deltaOf, distance, golden, type JsonAdapter, moduleOf } from './helpers.js';

interface Case {
  method: string;
  options: Record<string, unknown>;
  expected: Record<string, number[]>;
  residual: number;
}

interface Golden {
  adapters: JsonAdapter[];
  precision: Record<string, number[]>;
  precisionAnchor: Record<string, number[]>;
  cases: Case[];
}

const { adapters: stored, cases, precision, precisionAnchor } = golden<Golden>('merges.json');
const adapters = stored.map(adapterOf);
type Merge = (adapters: readonly LoraModules[], options: object) => merges.MergeResult;
const named = merges as unknown as Record<string, Merge>;
const titled = cases.map((entry) => [`${entry.method} ${JSON.stringify(entry.options)}`, entry] as const);

describe.each(['auto', 'js'])('on %s', (backend) => {
  const before = process.env.LORAKEET_BACKEND;
  beforeEach(() => {
    process.env.LORAKEET_BACKEND = backend;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.LORAKEET_BACKEND;
    else process.env.LORAKEET_BACKEND = before;
  });

  it.each(titled)('agrees with numpy: %s', (_, { method, options, expected, residual }) => {
    const result = named[method](adapters, options);
    expect([...result.modules.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [name, delta] of Object.entries(expected)) {
      expect(distance(deltaOf(moduleOf(result, name)), delta), name).toBeLessThan(1e-5);
    }
    expect(Math.abs(result.residual - residual)).toBeLessThan(1e-5);
  });

  it.each(['average', 'ties', 'tsv', 'precisionAverage'])('adds the precisions of the inputs: %s', (method) => {
    const result = named[method](adapters, method === 'ties' ? { density: 0.5 } : { rank: 3 });
    for (const [name, expected] of Object.entries(precision)) {
      const { rank, inFeatures, outFeatures, loraA, loraB, fisher } = moduleOf(result, name);
      for (let k = 0; k < rank; k++) {
        const column = Float64Array.from({ length: outFeatures }, (_, o) => loraB[o * rank + k]);
        const square = column.reduce((sum, value) => sum + value ** 2, 0);
        const row = (fisher as Float32Array).slice(k * inFeatures, (k + 1) * inFeatures);
        const wanted = expected.map((value) => value * square);
        expect(distance(row, wanted)).toBeLessThan(1e-5);
        const ofB = expected.reduce((sum, value, j) => sum + value * loraA[k * inFeatures + j] ** 2, 0);
        for (let o = 0; o < outFeatures; o++) {
          expect((fisher as Float32Array)[loraA.length + o * rank + k] / ofB).toBeCloseTo(1, 5);
        }
      }
    }
  });

  it('combines anchors by precision', () => {
    // at rank Σ rankᵢ the factors stand side by side, so that the merged anchor is exact
    const result = named.precisionAverage(adapters, { rank: 6 });
    for (const [name, expected] of Object.entries(precisionAnchor)) {
      const module = moduleOf(result, name);
      const anchor = module.anchor as Float32Array;
      const loraA = anchor.subarray(0, module.loraA.length);
      const loraB = anchor.subarray(module.loraA.length);
      expect(distance(deltaOf({ ...module, loraA, loraB }), expected)).toBeLessThan(1e-5);
    }
  });
});
