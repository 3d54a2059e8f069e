/**
 * Every replayed user's adapter learns online through one pool. Batch k holds the k-th event of every user that still has
 * one: predict all, score, then learn all, so that the pool always works on many users in one call.
 */
import type { AdapterPool, AdapterPoolOptions } from 'lorakeet';
import type { History } from './baselines.js';
import { FACTORS, type ItemFeatures } from './features.js';

/**
 * The embedding is a movie's 16 factors and one axis more, on which every movie is 0: the fixed direction q of the
 * targets. The adapter's target for movie x is x + residual·q, and what it adds along q is its correction to the bias
 * model's prediction. An axis of its own keeps the two roles apart: the other 16 outputs are asked to stay as they are,
 * and their part of B, having no error, stays exactly zero.
 */
export const CORRECTION_AXIS = FACTORS;
export const EMBEDDING_DIM = FACTORS + 1;

/**
 * One setting for every seed, chosen by replaying users that no seed replays here (the 100 who are background under seeds
 * 0, 1 and 2, left out of the item features) over a grid of rank, scaling, learning rate, weight decay and clipping. The
 * gradients are small (a mean over 17 outputs of which one has an error, features of length about 0.3), hence the large
 * step; weight decay is the prior that few, noisy events need; clipping tames the rare surprising rating.
 */
export const ADAPTER_SETTINGS = {
  rank: 8,
  embeddingDim: EMBEDDING_DIM,
  scalingFactor: 8,
  learningRate: 4,
  gradientClipThreshold: 0.1,
  optimizer: { kind: 'sgd', weightDecay: 0.001 },
  useEWC: false,
  seed: 0,
} as const satisfies AdapterPoolOptions;

/** The movies' embeddings [items × EMBEDDING_DIM], for the pool's item table. */
export function itemTable(features: ItemFeatures): Float32Array {
  const table = new Float32Array(features.bias.length * EMBEDDING_DIM);
  for (let item = 0; item < features.bias.length; item++) {
    table.set(features.factors.subarray(item * FACTORS, (item + 1) * FACTORS), item * EMBEDDING_DIM);
  }
  return table;
}

/** The settings are too bold for some adapter: its numbers are no longer finite. */
export class DivergedError extends Error {
  override readonly name = 'DivergedError';
}

/** What the replay of one batch did. */
export interface ReplayedBatch {
  /** Its number, which is also the number of the event within each of its users. */
  batch: number;
  /** The users in it, as indices into the histories, rising. */
  users: number[];
  /** Squared errors of the adapters' predictions, one per user. */
  errors: Float64Array;
  /** Time in the pool: predicting and learning. */
  seconds: number;
}

/** Replays the batches from number `from` on; `items` is the table that the pool is bound to. */
export async function* replayAdapters(
  pool: AdapterPool,
  items: Float32Array,
  histories: readonly History[],
  from: number,
): AsyncGenerator<ReplayedBatch> {
  let users = histories.map((_, i) => i);
  for (let batch = from; ; batch++) {
    users = users.filter((user) => batch < histories[user].items.length);
    if (users.length === 0) return;
    const userIds = users.map((user) => String(histories[user].user));
    const content = Uint32Array.from(users, (user) => histories[user].items[batch]);

    const started = performance.now();
    const personalized = pool.personalize(userIds, content);
    const predicted = performance.now();

    const errors = new Float64Array(users.length);
    const target = new Float32Array(users.length * EMBEDDING_DIM);
    users.forEach((user, row) => {
      const { base, ratings } = histories[user];
      const correction = personalized[row * EMBEDDING_DIM + CORRECTION_AXIS];
      errors[row] = (base[batch] + correction - ratings[batch]) ** 2;
      const item = content[row] * EMBEDDING_DIM;
      target.set(items.subarray(item, item + EMBEDDING_DIM), row * EMBEDDING_DIM);
      target[row * EMBEDDING_DIM + CORRECTION_AXIS] = ratings[batch] - base[batch];
    });

    const learning = performance.now();
    const { rejected } = await pool.learn({ userIds, content, target });
    const seconds = (predicted - started + performance.now() - learning) / 1000;
    if (rejected.length > 0)
      throw new DivergedError(`batch ${batch}: the adapters of users ${rejected.join(', ')} diverged`);
    yield { batch, users, errors, seconds };
  }
}
