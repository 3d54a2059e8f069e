/** What the sums say about settings, compared at equal age of the adapters. */
import type { Sums } from './evidence.js';
import { type Arm, binsOf, RATE_STEPS } from './settings.js';

export interface Difference {
  /** By how much more of the residual the one removes than the other */
  gain: number;
  /** Standard error of it; Infinity without evidence */
  error: number;
  /** Updates it rests on */
  updates: number;
}

/** Correlation of the outcomes of one user: many updates of few users are less evidence than they seem. */
const USER_CORRELATION = 0.05;
/** Ages above the adapter's own by up to this many doublings are what a choice is made for; others count little. */
const STAGES_AHEAD = 5;
const OTHER_STAGES = 0.1;
/** Steps of the learning rate over which "m times as far" is believed; about half as much at a factor of ten. */
const REACH = 3.5;
/** Variance of one outcome before any is known, in squares of the residual, and outcomes that it counts for. */
const VARIANCE_PRIOR = { variance: 0.01, updates: 5 };

/** Estimates from sums around a situation; `stage` is the age, ⌊log₂ updates⌋, of the adapter that the choice is for. */
export class Estimates {
  readonly #cells: readonly Sums[];
  readonly #stage: number;

  constructor(sums: readonly Sums[], stage: number) {
    this.#cells = sums.filter(({ updates }) => updates > 1e-3);
    this.#stage = stage;
  }

  /**
   * Gain of `arm` over `other`. Where they differ in the learning rate only, every outcome with the same other settings
   * speaks to both, and its difference is taken before the average, which removes most of the noise; else the outcomes of
   * the one are compared with those of the other, age by age.
   */
  compare(arm: Arm, other: Arm): Difference {
    return sameButRate(arm, other) ? this.#compareRates(arm, other) : this.#compareCells(arm, other);
  }

  /** Updates with these settings, or with others that differ in the learning rate only and speak to them. */
  updatesFor(arm: Arm): number {
    let updates = 0;
    for (const cell of this.#cells) {
      if (sameButRate(cell.arm, arm)) updates += cell.updates * this.#stageWeight(cell) * belief(cell.arm, arm);
    }
    return updates;
  }

  #compareRates(arm: Arm, other: Arm): Difference {
    const mean = new WeightedMean();
    for (const cell of this.#cells) {
      if (!sameButRate(cell.arm, arm)) continue;
      const weight = this.#stageWeight(cell) * Math.min(belief(cell.arm, arm), belief(cell.arm, other));
      const [p, q] = gainAt(cell, rateRatio(arm, cell.arm));
      const [otherP, otherQ] = gainAt(cell, rateRatio(other, cell.arm));
      mean.add(cell, weight, p - otherP, q - otherQ);
    }
    return mean.result();
  }

  #compareCells(arm: Arm, other: Arm): Difference {
    const stages = new Set(this.#cells.map(({ stage }) => stage));
    let weights = 0;
    let gain = 0;
    let variance = 0;
    let updates = 0;
    for (const stage of stages) {
      const a = this.#meanAt(stage, arm);
      const b = this.#meanAt(stage, other);
      if (a.updates === 0 || b.updates === 0) continue;
      const square = a.error ** 2 + b.error ** 2;
      // by the inverse of the variance, the weights that make the error of the sum least
      const weight = 1 / square;
      weights += weight;
      gain += weight * (a.gain - b.gain);
      variance += weight * weight * square;
      updates += a.updates + b.updates;
    }
    if (weights === 0) return { gain: 0, error: Infinity, updates: 0 };
    return { gain: gain / weights, error: Math.sqrt(variance) / weights, updates };
  }

  /** Mean gain of the arm over an adapter that has learnt nothing, at one age. */
  #meanAt(stage: number, arm: Arm): Difference {
    const mean = new WeightedMean();
    for (const cell of this.#cells) {
      if (cell.stage !== stage || !sameButRate(cell.arm, arm)) continue;
      mean.add(cell, this.#stageWeight(cell) * belief(cell.arm, arm), ...gainAt(cell, rateRatio(arm, cell.arm)));
    }
    return mean.result();
  }

  #stageWeight({ stage }: Sums): number {
    return stage >= this.#stage && stage <= this.#stage + STAGES_AHEAD ? 1 : OTHER_STAGES;
  }
}

/** Mean over outcomes of p·alignment − q·correction, each cell with p and q of its own, and its standard error. */
class WeightedMean {
  #updates = 0;
  #users = 0;
  #sum = 0;
  #squares = 0;

  add(cell: Sums, weight: number, p: number, q: number): void {
    const mean = (p * cell.alignment - q * cell.correction) / cell.updates;
    const square = (p * p * cell.alignment2 - 2 * p * q * cell.product + q * q * cell.correction2) / cell.updates;
    this.#updates += weight * cell.updates;
    this.#users += weight * cell.users;
    this.#sum += weight * cell.updates * mean;
    this.#squares += weight * cell.updates * Math.max(0, square - mean * mean);
  }

  result(): Difference {
    const updates = this.#updates;
    if (updates === 0) return { gain: 0, error: Infinity, updates };
    const prior = VARIANCE_PRIOR;
    const variance = (this.#squares + prior.updates * prior.variance) / (updates + prior.updates);
    const error = Math.sqrt(variance * (1 / updates + USER_CORRELATION / Math.max(1, this.#users)));
    return { gain: this.#sum / updates, error, updates };
  }
}

/**
 * The gain that the cell's outcomes would have had with a learning rate m times as large, as p·alignment − q·correction.
 *
 * An adapter that has gone the share f of the way to its target would have gone m·f while steps add up, and 1 − (1 − f)^m
 * when each takes a share of what is left. Real ones, whose two factors speed each other up, lie between; so does this.
 * What overshoots (f > 1) and what goes across the target, noise, grows with m.
 */
function gainAt({ residual, alignment, correction }: Sums, m: number): [p: number, q: number] {
  if (correction === 0) return [0, 0];
  const f = alignment / residual;
  const along = Math.min(1, alignment ** 2 / (residual * correction));
  const factor = f === 0 ? m : gone(f, m) / f;
  return [2 * factor, factor ** 2 * along + m * m * (1 - along)];
}

function gone(f: number, m: number): number {
  if (f < 0) return m * f;
  return f < 1 ? (m * f + 1 - (1 - f) ** m) / 2 : 1 + m * (f - 1);
}

function sameButRate(a: Arm, b: Arm): boolean {
  const x = binsOf(a);
  const y = binsOf(b);
  return x.clip === y.clip && x.lambda === y.lambda;
}

function rateRatio(a: Arm, b: Arm): number {
  return 10 ** ((binsOf(a).learningRate - binsOf(b).learningRate) / RATE_STEPS);
}

/** How far outcomes with one learning rate are believed about another, 1 … 0. */
function belief(a: Arm, b: Arm): number {
  const steps = binsOf(a).learningRate - binsOf(b).learningRate;
  return Math.exp(-((steps / REACH) ** 2) / 2);
}
