/** What merges entry by entry need of the space whose entries they compare. */
import type { Magnitudes, MergeRule, Selection } from '../kernels/entries.js';
import type { RandomKey } from '../kernels/random-words.js';
import type { MergedModule } from './result.js';

/** The entries of all adapters in one space, and the way back from merged entries to a module. */
export interface EntrySpace {
  /** Entries of one adapter. */
  readonly length: number;
  magnitudeAt(adapter: number, count: number): Magnitudes;
  /** The merge at the given rank. */
  merge(weights: readonly number[], selections: readonly Selection[], rule: MergeRule, rank: number): MergedModule;
}

/** Magnitudes that agree to six digits count as equal: other factors of the same ΔW must not decide which one is kept. */
const TOLERANCE = 1e-6;
const NO_KEY: RandomKey = [0, 0];

/**
 * Keeps the round(density · length) entries of largest magnitude of an adapter, at least one, and those that equal the
 * smallest of them. Entries below a millionth of the largest are dropped at any density: they are rounding, and must not
 * take part in elections.
 */
export function keepLargest(space: EntrySpace, adapter: number, density: number): Selection {
  const { value, largest } = space.magnitudeAt(adapter, Math.max(1, Math.round(density * space.length)));
  return { threshold: Math.max(value * (1 - TOLERANCE), largest * TOLERANCE), share: 1, key: NO_KEY };
}

/** Every entry stays with probability `density`, and is then divided by it, so that its expectation stays. */
export function keepAtRandom(density: number, key: RandomKey): Selection {
  return { threshold: 0, share: density, key };
}
