/** Merging entry by entry: the addon gives the bits of JavaScript, and JavaScript what a plain sort and loop give. */
import { afterEach, describe, expect, it } from 'vitest';
import type { DenseKernels } from '../../src/kernels/dense.js';
import { jsDense } from '../../src/kernels/dense-js.js';
import { ELECTIONS, type Product, type Summand } from '../../src/kernels/entries.js';
import { type FloatMatrix, matrix, transpose } from '../../src/kernels/matrix.js';
import { nativeDense, nativeInfo } from '../../src/kernels/native.js';
import { fillRandomWords } from '../../src/kernels/random-words.js';
import { SeededRandom } from '../../src/testing/random.js';

const saved = process.env.LORAKEET_ISA;
afterEach(() => {
  if (saved === undefined) delete process.env.LORAKEET_ISA;
  else process.env.LORAKEET_ISA = saved;
});

function open(isa: string): DenseKernels {
  process.env.LORAKEET_ISA = isa;
  return nativeDense() as DenseKernels;
}

/** Numbers of 9 bits: products and their sums are exact in double, in any order and however they are rounded. */
function coarse(random: SeededRandom, rows: number, columns: number) {
  return matrix(
    Float32Array.from({ length: rows * columns }, () => random.integer(-256, 256) / 256),
    rows,
    columns,
  );
}

function products(rows: number, columns: number, ranks: readonly number[]): Product[] {
  const random = new SeededRandom(rows * 1000 + columns);
  return ranks.map((rank, i) => ({
    b: (i % 2 ? transpose(coarse(random, rank, rows)) : coarse(random, rows, rank)) as FloatMatrix,
    a: coarse(random, rank, columns),
    scale: [1, 0.5, -2][i % 3],
  }));
}

function summands(rows: number, columns: number): Summand[] {
  return products(rows, columns, [3, 1, 16, 5]).map((product, i) => ({
    ...product,
    weight: [1, -0.5, 0.3, 1][i],
    // that of an entry, which has to stay
    threshold: i % 3 ? jsDense.magnitudeAt(product, Math.ceil((rows * columns) / 3)).value : 0,
    share: [1, 1, 0.4, 0.75][i],
    key: [i * 77, 2 ** 32 - 1 - i],
  }));
}

function expectSameBits(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  const wrong = want.findIndex((value, i) => !Object.is(value, got[i]));
  expect(wrong < 0 ? 'same' : `[${wrong}]: ${got[wrong]}, JavaScript has ${want[wrong]}`).toBe('same');
}

const SHAPES = [
  [1, 1],
  [3, 7],
  [64, 64],
  [130, 67],
  [9, 300],
  [700, 65],
];

describe.each([...nativeInfo().isas])('entries on %s', (isa) => {
  it.each(SHAPES)('merges %i × %i to the bits of JavaScript, by every rule', (rows, columns) => {
    const dense = open(isa);
    const all = summands(rows, columns);
    for (const election of ELECTIONS) {
      const rule = { election, lambda: 1.5 };
      expectSameBits(dense.mergeEntries(all, rule), jsDense.mergeEntries(all, rule));
    }
  });

  // the last is large enough for a bracket from a sample, and 0 and 1 have many equal ones
  it.each([...SHAPES, [1100, 1000]])('finds the magnitudes of %i × %i that JavaScript finds', (rows, columns) => {
    const dense = open(isa);
    const [fine, flat, zero] = products(rows, columns, [3, 1, 2]);
    const cases = [fine, { ...flat, a: { ...flat.a, data: flat.a.data.map(Math.sign) } }, { ...zero, scale: 0 }];
    for (const product of cases) {
      for (const share of [0, 0.001, 0.2, 0.7, 1]) {
        const count = Math.max(1, Math.round(share * rows * columns));
        expect(dense.magnitudeAt(product, count)).toEqual(jsDense.magnitudeAt(product, count));
      }
    }
  });

  it('takes numbers that are not finite, which change no other column', () => {
    const dense = open(isa);
    const [product] = products(20, 70, [4]);
    product.b.data[0] = Number.NaN;
    product.b.data[9] = Infinity;
    for (const count of [1, 141, 500, 1300]) {
      expect(dense.magnitudeAt(product, count).value).toBe(jsDense.magnitudeAt(product, count).value);
    }
    const merged = dense.mergeEntries([{ ...product, weight: 1, threshold: 0, share: 1, key: [0, 0] }], {
      election: 'none',
      lambda: 1,
    });
    expect(merged.subarray(3 * 70).every(Number.isFinite)).toBe(true);
  });
});

describe('entries in JavaScript', () => {
  it('are ranked as a sort ranks them', () => {
    const [product] = products(12, 9, [3]);
    const { data } = jsDense.multiply(product.b, product.a);
    const sorted = Float32Array.from(data, Math.abs).sort().reverse();
    for (const count of [1, 2, 30, 107, 108]) {
      expect(jsDense.magnitudeAt(product, count)).toEqual({ value: sorted[count - 1], largest: sorted[0] });
    }
  });
});

describe('random words', () => {
  const wordsOf = (key: readonly [number, number], first: number, count: number) => {
    const words = new Uint32Array(count);
    fillRandomWords(words, key, first);
    return [...words];
  };

  it('are those of Threefry-2×32-13 (known answers of Random123)', () => {
    expect(wordsOf([0, 0], 0, 2)).toEqual([0x9d1c5ec6, 0x8bd50731]);
  });

  it('depend on their place only, beyond 2³² too', () => {
    const key = [0x13198a2e, 0x03707344] as const;
    for (const first of [0, 1, 7, 2 ** 32 - 3, 2 ** 33 - 5, 2 ** 40 + 1]) {
      const all = wordsOf(key, first, 12);
      for (let i = 0; i < 12; i++) expect(wordsOf(key, first + i, 1)).toEqual([all[i]]);
    }
    expect(wordsOf(key, 2 ** 33, 4)).not.toEqual(wordsOf(key, 0, 4));
  });
});
