/** Learning to tell what a user went for from what he did not, by the squared error that the kernels have. */
import { hashSeed, Random, type RandomState } from '../adapter/random.js';
import type { ResolvedConfig } from './options.js';
import type { ResolvedContrastivePolicy } from './target-policy.js';

/** Rows of one adapter. */
export interface ContrastiveRows {
  count: number;
  /** [count × features]: what the output for the row is to be near to */
  target: Float32Array;
  /** [count] 0 … 1: how much the row counts */
  rewards: Float32Array;
  /** [count] ≥ 0; default 1 */
  weights?: Float32Array;
}

/**
 * The loss of a user's update under a contrastive policy, undefined under the others, whose loss is the squared error.
 * What is sampled depends on the configured seed, the user and the adapter's version only.
 */
export function contrastiveLossOf(
  { targetPolicy, seed }: ResolvedConfig,
  rows: ContrastiveRows,
  { userId, version }: { userId: string; version: number },
): ContrastiveLoss | undefined {
  if (targetPolicy.kind !== 'contrastive') return undefined;
  return new ContrastiveLoss(targetPolicy, rows, hashSeed(seed, `${version} ${userId}`));
}

/**
 * The contrastive loss of one adapter's rows (InfoNCE: van den Oord et al. 2018, "Representation Learning with Contrastive
 * Predictive Coding", with cosines as in Chen et al. 2020, "A Simple Framework for Contrastive Learning"):
 *
 *   ℓᵢ = −rewardᵢ · log( exp(cos(yᵢ, pᵢ)/τ) / (exp(cos(yᵢ, pᵢ)/τ) + Σₙ exp(cos(yᵢ, n)/τ)) ),   L = Σ wᵢℓᵢ / Σ wᵢ
 *
 * over the row's negatives n: the positives of the adapter's other rows, or a sample of the item table drawn from `seed`.
 * What equals the row's positive is no negative.
 */
export class ContrastiveLoss {
  readonly #rows: ContrastiveRows;
  readonly #temperature: number;
  readonly #features: number;
  /** Of each row: its positive, then its negatives. */
  readonly #candidates: readonly Float32Array[][];

  constructor(policy: ResolvedContrastivePolicy, rows: ContrastiveRows, seed: RandomState) {
    this.#rows = rows;
    this.#temperature = policy.temperature;
    this.#features = rows.target.length / rows.count;
    const positives = Array.from({ length: rows.count }, (_, i) => this.#rowOf(rows.target, i));
    const { items } = policy;
    const random = new Random(seed);
    this.#candidates = positives.map((positive) => {
      const others = items ? this.#sample(items, policy.count, random) : positives;
      return [positive, ...others.filter((other) => !isEqual(other, positive))];
    });
  }

  /** L for the outputs y [count × features]. */
  at(y: Float32Array): number {
    const { count, rewards, weights } = this.#rows;
    let sum = 0;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const weight = weights ? weights[i] : 1;
      sum += weight * rewards[i] * this.#compare(y, i).loss;
      total += weight;
    }
    return total === 0 ? 0 : sum / total;
  }

  /**
   * Targets t with which the squared error has the gradient of L at the outputs y: as ∂/∂y of mean (y − t)² over d features
   * is (2/d)(y − t), t = y − (d/2)·∂ℓ/∂y. So a step on them is a step on L.
   */
  targetsAt(y: Float32Array): Float32Array {
    const target = y.slice();
    for (let i = 0; i < this.#rows.count; i++) {
      const { cosines, shares, lengths, lengthOfY } = this.#compare(y, i);
      if (lengthOfY === 0) continue; // no direction to turn
      const output = this.#rowOf(y, i);
      const row = this.#rowOf(target, i);
      const scale = (0.5 * this.#features * this.#rows.rewards[i]) / (this.#temperature * lengthOfY);
      this.#candidates[i].forEach((candidate, c) => {
        if (lengths[c] === 0) return;
        const weight = scale * (shares[c] - (c === 0 ? 1 : 0));
        const [along, across] = [weight / lengths[c], (weight * cosines[c]) / lengthOfY];
        for (let j = 0; j < row.length; j++) row[j] -= along * candidate[j] - across * output[j];
      });
    }
    return target;
  }

  /** Row i against its candidates: cosines, their softmax, and −log of the positive's share. */
  #compare(y: Float32Array, i: number) {
    const output = this.#rowOf(y, i);
    const candidates = this.#candidates[i];
    const lengthOfY = Math.sqrt(dot(output, output));
    const lengths = candidates.map((candidate) => Math.sqrt(dot(candidate, candidate)));
    const cosines = candidates.map((candidate, c) => {
      const product = lengthOfY * lengths[c];
      return product === 0 ? 0 : dot(output, candidate) / product;
    });
    const largest = Math.max(...cosines);
    const powers = cosines.map((cosine) => Math.exp((cosine - largest) / this.#temperature));
    const total = powers.reduce((sum, power) => sum + power, 0);
    const loss = Math.log(total) - (cosines[0] - largest) / this.#temperature;
    return { cosines, lengths, lengthOfY, shares: powers.map((power) => power / total), loss };
  }

  #sample(items: Float32Array, count: number, random: Random): Float32Array[] {
    const rows = items.length / this.#features;
    return Array.from({ length: count }, () => this.#rowOf(items, Math.floor(random.uniform(0, rows))));
  }

  #rowOf(values: Float32Array, i: number): Float32Array {
    return values.subarray(i * this.#features, (i + 1) * this.#features);
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function isEqual(a: Float32Array, b: Float32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
