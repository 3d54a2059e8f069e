/**
 * Merging entry by entry: which entries of each matrix are kept, and what becomes of those at one place. This is the
 * reference; native/dense/entries.inl is the same for products b·a, in C++ and without ever holding one of them.
 */
import type { FloatMatrix, Matrix } from './matrix.js';
import { fillRandomWords, type RandomKey } from './random-words.js';

/** scale·b·a, b [rows × rank] and a [rank × columns], of which single entries are wanted and never all at once. */
export interface Product {
  readonly b: FloatMatrix;
  readonly a: FloatMatrix;
  readonly scale: number;
}

/** Which entries of a matrix stay; the others become 0. */
export interface Selection {
  /** Those of at least this magnitude; 0 for all. */
  readonly threshold: number;
  /** And of these each with this probability, above 0 and at most 1, to be divided by it. */
  readonly share: number;
  /** Entry i, counted row by row, stays if word i of this stream is below share·2³². */
  readonly key: RandomKey;
}

export interface Summand extends Product, Selection {
  readonly weight: number;
}

export const ELECTIONS = ['none', 'total', 'frequency'] as const;

/**
 * With v the entries that were kept at one place and w their weights: Σ w·v for 'none'. Otherwise a sign is elected, that
 * of Σ w·v for 'total', and for 'frequency' that of more summands, and then of the sum if they are as many; the result is
 * λ · Σ w·v / Σ |w| over those that have it, and 0 where neither sign wins. So the merge of −v is minus the merge of v.
 */
export interface MergeRule {
  readonly election: (typeof ELECTIONS)[number];
  readonly lambda: number;
}

/** Magnitudes as float32: the count-th largest, and the largest. */
export interface Magnitudes {
  value: number;
  largest: number;
}

/** The entries of several matrices of one shape, block by block, so that nobody needs all of them at once. */
export interface EntrySource {
  readonly matrices: number;
  readonly blocks: number;
  /** Entries of one matrix. */
  readonly length: number;
  /** Where the entries of a block begin. */
  offset(block: number): number;
  /** A fresh copy of one block of one matrix. */
  read(matrix: number, block: number): Float64Array;
}

/** Sets to 0 what is dropped of a block whose entries begin at `offset`. */
export type Sparsify = (values: Float64Array, matrix: number, offset: number) => void;

/** Writes the merged entries of one block to `out`, which is 0 before; values[i] are those of matrix i. */
export type Combine = (values: readonly Float64Array[], weights: readonly number[], out: Float64Array) => void;

/** What a sum is at most, beside its parts, to count as rounding. */
const TOLERANCE = 1e-6;

export function sparsifyBy(selections: readonly Selection[]): Sparsify {
  return (values, matrix, offset) => {
    const { threshold, share, key } = selections[matrix];
    if (threshold > 0) for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) < threshold) values[i] = 0;
    if (share === 1) return;
    const words = new Uint32Array(values.length);
    fillRandomWords(words, key, offset);
    const [limit, factor] = [share * 2 ** 32, 1 / share];
    for (let i = 0; i < values.length; i++) values[i] = words[i] < limit ? values[i] * factor : 0;
  };
}

export function combineBy({ election, lambda }: MergeRule): Combine {
  return election === 'none' ? sumEntries : electEntries(election === 'frequency', lambda);
}

const sumEntries: Combine = (values, weights, out) => {
  values.forEach((entries, matrix) => {
    const weight = weights[matrix];
    for (let i = 0; i < out.length; i++) out[i] += weight * entries[i];
  });
};

function electEntries(byFrequency: boolean, lambda: number): Combine {
  return (values, weights, out) => {
    const length = out.length;
    const mass = new Float64Array(length);
    const size = new Float64Array(length);
    const votes = new Float64Array(length);
    values.forEach((entries, matrix) => {
      for (let i = 0; i < length; i++) {
        const value = weights[matrix] * entries[i];
        mass[i] += value;
        size[i] += Math.abs(value);
        votes[i] += Math.sign(value);
      }
    });
    for (let i = 0; i < length; i++) {
      // a sum that is only rounding elects nobody
      if (Math.abs(mass[i]) <= TOLERANCE * size[i]) mass[i] = 0;
      if (byFrequency && votes[i] !== 0) mass[i] = votes[i];
    }
    const share = size.fill(0);
    values.forEach((entries, matrix) => {
      const weight = weights[matrix];
      for (let i = 0; i < length; i++) {
        const value = weight * entries[i];
        if (value * mass[i] > 0) {
          out[i] += value;
          share[i] += Math.abs(weight);
        }
      }
    });
    for (let i = 0; i < length; i++) if (share[i] > 0) out[i] *= lambda / share[i];
  };
}

/** Runs the merge block by block into one matrix. */
export function combineEntries(
  source: EntrySource,
  weights: readonly number[],
  sparsify: Sparsify,
  combine: Combine,
  merged: Float32Array | Float64Array,
): void {
  for (let block = 0; block < source.blocks; block++) {
    const offset = source.offset(block);
    const values = Array.from({ length: source.matrices }, (_, matrix) => {
      const entries = source.read(matrix, block);
      sparsify(entries, matrix, offset);
      return entries;
    });
    const out = new Float64Array(values[0].length);
    combine(values, weights, out);
    merged.set(out, offset);
  }
}

const HALF = 2 ** 16;

/**
 * As positive floats are ordered like their bits, two counts of halves of those bits find the magnitude: no sorting, and
 * no memory that grows with the matrix.
 */
export function magnitudeAt(source: EntrySource, matrix: number, count: number): Magnitudes {
  let largest = 0;
  const countHalves = (of: (bits: number) => number): Uint32Array => {
    const counts = new Uint32Array(HALF);
    const word = new Float32Array(1);
    const bits = new Uint32Array(word.buffer);
    for (let block = 0; block < source.blocks; block++) {
      const values = source.read(matrix, block);
      for (let i = 0; i < values.length; i++) {
        word[0] = Math.abs(values[i]);
        if (word[0] > largest) largest = word[0];
        const half = of(bits[0]);
        if (half >= 0) counts[half]++;
      }
    }
    return counts;
  };
  const upper = descend(
    countHalves((bits) => bits >>> 16),
    count,
  );
  const lower = descend(
    countHalves((bits) => (bits >>> 16 === upper.half ? bits & (HALF - 1) : -1)),
    upper.left,
  );
  const bits = Uint32Array.of(upper.half * HALF + lower.half);
  return { value: new Float32Array(bits.buffer)[0], largest };
}

/** The largest half at or above which `count` numbers lie, and how many of them have that half itself. */
function descend(counts: Uint32Array, count: number): { half: number; left: number } {
  let left = count;
  let half = counts.length - 1;
  while (half > 0 && counts[half] < left) left -= counts[half--];
  return { half, left };
}

/** Entries of one block, about: small enough to stay in cache with those of a few matrices. */
const BLOCK = 2 ** 16;

/** The entries of products of one shape, in blocks of rows. */
export function productEntries(products: readonly Product[], multiply: (x: Matrix, y: Matrix) => Matrix): EntrySource {
  const { rows } = products[0].b;
  const { columns } = products[0].a;
  const height = Math.max(1, Math.floor(BLOCK / columns));
  return {
    matrices: products.length,
    blocks: Math.ceil(rows / height),
    length: rows * columns,
    offset: (block) => block * height * columns,
    read(matrix, block) {
      const { b, a, scale } = products[matrix];
      const first = block * height;
      const data = b.data.subarray(first * b.rowStride);
      const product = multiply({ ...b, data, rows: Math.min(height, rows - first) }, a).data as Float64Array;
      if (scale !== 1) for (let i = 0; i < product.length; i++) product[i] *= scale;
      return product;
    },
  };
}
