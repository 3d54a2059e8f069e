/**
 * Learning from similar users. Who is similar is for behaviour to say: a user is as similar as his adapter predicts the
 * other one's feedback. Names and profiles have no part in it.
 */
import { type AdapterShape, scalingOf } from '../adapter/config.js';
import type { AdapterState } from '../adapter/state.js';
import { fitLoraA, stackAdapters, truncateStack } from '../continual/blend.js';
import type { AdapterFactors } from '../continual/common-directions.js';
import type { UserLoRAAdapter } from './types.js';

/** Similar users who have a say in a warm start. */
export const DEFAULT_SIMILAR = 8;

/** Users looked at unless the caller says among whom. */
export const MOST_CANDIDATES = 256;

/** Bytes of adapters that an engine remembers for warm starts, at most. */
const MOST_REMEMBERED_BYTES = 2 ** 26;

/** A candidate, by his position. */
export interface Similarity {
  index: number;
  /** Mean loss of his adapter on the feedback. */
  loss: number;
  /** How much he has to say: the weights of those returned add up to 1. */
  weight: number;
}

/**
 * The `topK` candidates with the least losses on the same `rows` rows, the most similar first. Weights are those of a
 * mixture: with noise of the size of the least loss, exp(−rows/2 · (loss/least − 1)). Few rows say little, so that many
 * candidates count; without any all count the same.
 */
export function mostSimilar(losses: readonly number[], rows: number, topK: number): Similarity[] {
  const order = losses.map((_, index) => index).filter((index) => Number.isFinite(losses[index]));
  order.sort((a, b) => losses[a] - losses[b] || a - b);
  const nearest = order.slice(0, topK);
  const least = losses[nearest[0]];
  const weights = nearest.map((index) => {
    if (rows === 0 || losses[index] === least) return 1;
    return least > 0 ? Math.exp((-rows / 2) * (losses[index] / least - 1)) : 0;
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return nearest.map((index, i) => ({ index, loss: losses[index], weight: weights[i] / total }));
}

/**
 * `start`, moved to the weighted mean of what the adapters of others change. `keepsColumns`: B stays as it is (a prior's,
 * with its Fisher and moments) and A comes as close as it can; otherwise both factors are new, the best of their rank.
 * The result is its own anchor.
 */
export function startAmong(
  start: AdapterState,
  others: readonly AdapterFactors[],
  weights: readonly number[],
  keepsColumns: boolean,
): AdapterState {
  const { shape } = start;
  const scaling = scalingOf(shape);
  const stack = stackAdapters(others, weights, shape.rank);
  const { loraA, loraB } = factorsOf(shape, start.weights);
  const factors = keepsColumns
    ? { loraA: fitLoraA(stack, scaling, loraB, shape.rank, loraA), loraB }
    : truncateStack(stack, scaling, shape.rank, { loraA, loraB });
  const moved = new Float32Array(start.weights.length);
  moved.set(factors.loraA);
  moved.set(factors.loraB, factors.loraA.length);
  return { ...start, weights: moved, ...(start.anchor && { anchor: moved.slice() }) };
}

export function factorsOf({ rank, inFeatures }: AdapterShape, weights: Float32Array): AdapterFactors {
  return { loraA: weights.slice(0, rank * inFeatures), loraB: weights.slice(rank * inFeatures) };
}

/** The latest adapters of the users who learned last, as far as they fit. */
export class RememberedAdapters {
  readonly #adapters = new Map<string, UserLoRAAdapter>();
  #bytes = 0;

  remember(adapter: UserLoRAAdapter): void {
    this.forget(adapter.userId);
    this.#adapters.set(adapter.userId, adapter);
    this.#bytes += adapter.metadata.performance.sizeBytes;
    while (this.#adapters.size > MOST_CANDIDATES || this.#bytes > MOST_REMEMBERED_BYTES) {
      this.forget(this.#adapters.keys().next().value as string);
    }
  }

  forget(userId: string): void {
    const adapter = this.#adapters.get(userId);
    if (!adapter) return;
    this.#bytes -= adapter.metadata.performance.sizeBytes;
    this.#adapters.delete(userId);
  }

  get(userId: string): UserLoRAAdapter | undefined {
    return this.#adapters.get(userId);
  }

  others(userId?: string): UserLoRAAdapter[] {
    return [...this.#adapters.values()].filter((adapter) => adapter.userId !== userId);
  }
}
