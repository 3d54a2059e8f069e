/** Merging entry by entry: which entries of each adapter are kept, and what becomes of those at one place. */
import type { Random } from '../adapter/random.js';
import type { MergedModule } from './result.js';
import type { MajoritySign } from './types.js';

/** The entries of all adapters' matrices of one module, block by block, so that nobody needs all of them at once. */
export interface EntrySource {
  readonly adapters: number;
  readonly blocks: number;
  /** Entries of one adapter's matrix. */
  readonly length: number;
  /** A fresh copy of one block of one adapter. */
  read(adapter: number, block: number): Float64Array;
}

/** A source of entries that also knows the way back from merged entries to a module. */
export interface EntrySpace extends EntrySource {
  /** The merge at the given rank. */
  merge(weights: readonly number[], sparsify: Sparsify, combine: Combine, rank: number): MergedModule;
}

/** Sets to 0 what is dropped of a block. Called for every adapter block after block, in their order. */
export type Sparsify = (values: Float64Array, adapter: number) => void;

/** Writes the merged entries of one block to `out`; values[i] are those of adapter i. */
export type Combine = (values: readonly Float64Array[], weights: readonly number[], out: Float64Array) => void;

/** Magnitudes that agree to six digits count as equal: other factors of the same ΔW must not decide which one is kept. */
const TOLERANCE = 1e-6;

/**
 * Keeps the round(density · length) entries of largest magnitude of each adapter, at least one, and those that equal the
 * smallest of them. Entries below a millionth of the largest are dropped at any density: they are rounding, and must not
 * take part in elections.
 */
export function keepLargest(source: EntrySource, density: number): Sparsify {
  const count = Math.max(1, Math.round(density * source.length));
  const thresholds = Array.from({ length: source.adapters }, (_, adapter) => {
    const { value, largest } = magnitudeAt(source, adapter, count);
    return Math.max(value * (1 - TOLERANCE), largest * TOLERANCE);
  });
  return (values, adapter) => {
    const threshold = thresholds[adapter];
    for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) < threshold) values[i] = 0;
  };
}

/** Every entry stays with probability `density`, and is then divided by it, so that its expectation stays. */
export function keepAtRandom(density: number, streams: readonly Random[]): Sparsify {
  const limit = density * 2 ** 32;
  return (values, adapter) => {
    const random = streams[adapter];
    for (let i = 0; i < values.length; i++) values[i] = random.nextUint32() < limit ? values[i] / density : 0;
  };
}

/** Σ wᵢ·vᵢ */
export const sumEntries: Combine = (values, weights, out) => {
  values.forEach((entries, adapter) => {
    const weight = weights[adapter];
    for (let i = 0; i < out.length; i++) out[i] += weight * entries[i];
  });
};

/**
 * The elected sign is that of Σ wᵢ·vᵢ, or that of more adapters, and then of the sum if they are as many. The result is
 * Σ wᵢ·vᵢ / Σ |wᵢ| over those that have it, and 0 where neither sign wins. So the merge of −v is minus the merge of v.
 */
export function electEntries(method: MajoritySign, lambda: number): Combine {
  return (values, weights, out) => {
    const length = out.length;
    const mass = new Float64Array(length);
    const size = new Float64Array(length);
    const votes = new Float64Array(length);
    values.forEach((entries, adapter) => {
      for (let i = 0; i < length; i++) {
        const value = weights[adapter] * entries[i];
        mass[i] += value;
        size[i] += Math.abs(value);
        votes[i] += Math.sign(value);
      }
    });
    for (let i = 0; i < length; i++) {
      // a sum that is only rounding elects nobody
      if (Math.abs(mass[i]) <= TOLERANCE * size[i]) mass[i] = 0;
      if (method === 'frequency' && votes[i] !== 0) mass[i] = votes[i];
    }
    const share = size.fill(0);
    values.forEach((entries, adapter) => {
      const weight = weights[adapter];
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

/** Runs the merge block by block; `take` gets the entries of each block. */
export function combineEntries(
  source: EntrySource,
  weights: readonly number[],
  sparsify: Sparsify,
  combine: Combine,
  take: (values: Float64Array, block: number) => void,
): void {
  for (let block = 0; block < source.blocks; block++) {
    const values = Array.from({ length: source.adapters }, (_, adapter) => {
      const entries = source.read(adapter, block);
      sparsify(entries, adapter);
      return entries;
    });
    const out = new Float64Array(values[0].length);
    combine(values, weights, out);
    take(out, block);
  }
}

const HALF = 2 ** 16;

/**
 * The count-th largest magnitude as a float32, and the largest of all. As positive floats are ordered like their bits, two
 * counts of halves of those bits find it: no sorting, and no memory that grows with the matrix.
 */
export function magnitudeAt(source: EntrySource, adapter: number, count: number): { value: number; largest: number } {
  let largest = 0;
  const countHalves = (of: (bits: number) => number): Uint32Array => {
    const counts = new Uint32Array(HALF);
    const word = new Float32Array(1);
    const bits = new Uint32Array(word.buffer);
    for (let block = 0; block < source.blocks; block++) {
      const values = source.read(adapter, block);
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
