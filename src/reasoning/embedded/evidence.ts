/**
 * Outcomes, added up by bucket of situations, age of the adapter and settings.
 *
 * On rows that an adapter has not seen, let r be what its output should add to x, and c what it does add. Its loss is
 * ‖r − c‖² = ‖r‖² − 2⟨r,c⟩ + ‖c‖², so beside the loss of an adapter that has learnt nothing, ‖r‖², two numbers say all:
 * the alignment ⟨r,c⟩ and the correction ‖c‖². An adapter that had moved m times as far in the same direction would have
 * gained 2m⟨r,c⟩ − m²‖c‖². That is how outcomes with one learning rate say something about others (estimates.ts).
 */
import type { Arm } from './settings.js';
import { type BucketPlace, likeness, placeOf } from './situation.js';

/** One episode's outcome: of the settings that the adapter had learnt with until then. */
export interface Outcome {
  arm: Arm;
  /** ⌊log₂ of the updates that the adapter had taken⌋ */
  stage: number;
  /** No outcome of this user has been counted for that arm before */
  firstOfUser: boolean;
  /** ‖r‖², ⟨r,c⟩ and ‖c‖², means over rows and features */
  residual: number;
  alignment: number;
  correction: number;
}

/** Outcomes added up. */
export interface Sums {
  arm: Arm;
  stage: number;
  updates: number;
  /** How many users that was */
  users: number;
  residual: number;
  alignment: number;
  correction: number;
  /** Sums of the squares of the last two, and of their product */
  alignment2: number;
  correction2: number;
  product: number;
}

const TERMS = [
  'updates',
  'users',
  'residual',
  'alignment',
  'correction',
  'alignment2',
  'correction2',
  'product',
] as const satisfies readonly (keyof Sums)[];

/** The terms that are in units of loss, and those in units of its square. */
const UNITS: Readonly<Record<(typeof TERMS)[number], 0 | 1 | 2>> = {
  updates: 0,
  users: 0,
  residual: 1,
  alignment: 1,
  correction: 1,
  alignment2: 2,
  correction2: 2,
  product: 2,
};

interface Bucket {
  place: BucketPlace;
  cells: Map<number, Sums>;
  updates: number;
  residual: number;
}

/** Below this, a bucket's situations are too different to say anything. */
const MIN_SIMILARITY = 0.01;
/** A correction beyond so many residuals counts as so many: that of a diverged adapter is to be avoided, not infinite. */
const MAX_CORRECTION = 4;

export class Evidence {
  readonly #buckets = new Map<string, Bucket>();

  /** The outcome as it counts: a loss without bound would outweigh all others for ever. */
  bounded(
    bucket: string,
    { residual, loss, correction }: { residual: number; loss: number; correction: number },
  ): Pick<Outcome, 'residual' | 'alignment' | 'correction'> {
    const held = this.#buckets.get(bucket);
    const usual = Math.max(residual, held ? held.residual / held.updates : 0);
    const bound = Math.min(correction, MAX_CORRECTION * usual);
    // by Cauchy and Schwarz; losses are rounded, and the correction may just have been bounded
    const most = Math.sqrt(residual * bound);
    const alignment = Math.max(-most, Math.min(most, (residual + correction - loss) / 2));
    return { residual, alignment, correction: bound };
  }

  /** Adds `more`; with sign −1 takes out what was added. */
  add(bucket: string, more: Sums, sign: 1 | -1 = 1): void {
    const held = this.#buckets.get(bucket) ?? { place: placeOf(bucket), cells: new Map(), updates: 0, residual: 0 };
    this.#buckets.set(bucket, held);
    held.updates += sign * more.updates;
    held.residual += sign * more.residual;
    const cell = cellOf(more);
    const sums = held.cells.get(cell) ?? zeroSums(more);
    held.cells.set(cell, sums);
    addScaled(sums, more, sign);
    if (sums.updates > 0) return;
    held.cells.delete(cell);
    if (held.cells.size === 0) this.#buckets.delete(bucket);
  }

  /**
   * The sums of all buckets, each counted as far as it is like this one, in shares of the bucket's own mean residual, so
   * that hard situations count no more than easy ones.
   */
  around(bucket: string): Sums[] {
    const here = placeOf(bucket);
    const total = new Map<number, Sums>();
    for (const { place, cells, updates, residual } of this.#buckets.values()) {
      const weight = likeness(here, place);
      if (weight < MIN_SIMILARITY || !(residual > 0)) continue;
      for (const [cell, one] of cells) {
        const sum = total.get(cell) ?? zeroSums(one);
        total.set(cell, sum);
        addScaled(sum, one, weight, updates / residual);
      }
    }
    return [...total.values()];
  }
}

const cellOf = ({ arm, stage }: Sums) => arm * 64 + stage;

export function sumsOf({ arm, stage, firstOfUser, residual, alignment, correction }: Outcome): Sums {
  return {
    arm,
    stage,
    updates: 1,
    users: firstOfUser ? 1 : 0,
    residual,
    alignment,
    correction,
    alignment2: alignment * alignment,
    correction2: correction * correction,
    product: alignment * correction,
  };
}

/** Adds up the sums of equal arm and stage. */
export function mergeSums(all: Iterable<Sums>): Sums[] {
  const merged = new Map<number, Sums>();
  for (const one of all) {
    const sum = merged.get(cellOf(one)) ?? zeroSums(one);
    merged.set(cellOf(one), sum);
    addScaled(sum, one, 1);
  }
  return [...merged.values()];
}

function zeroSums({ arm, stage }: Pick<Sums, 'arm' | 'stage'>): Sums {
  const zeros = Object.fromEntries(TERMS.map((term) => [term, 0])) as Omit<Sums, 'arm' | 'stage'>;
  return { arm, stage, ...zeros };
}

function addScaled(sums: Sums, more: Sums, weight: number, perLoss = 1): void {
  const scales = [weight, weight * perLoss, weight * perLoss ** 2];
  for (const term of TERMS) sums[term] += more[term] * scales[UNITS[term]];
}
