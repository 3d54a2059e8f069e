/**
 * The two models that the adapters are measured against, replayed event by event: predict, score, then learn.
 *
 * - bias model: mean + movie bias + the user's damped mean residual so far
 * - exact per-user ridge: the same plus a Bayesian linear regression of what is left over on the movie's factors
 *   (unit prior, noise variance 0.75), solved exactly after every event
 */
import type { Rating } from './data.js';
import { addOuter, BIAS_DAMPING, FACTORS, type ItemFeatures } from './features.js';
import { solvePositiveDefinite } from './linear-algebra.js';

const NOISE_VARIANCE = 0.75;

/** One replayed user; element i of every array belongs to the user's i-th event in time. */
export interface History {
  user: number;
  /** Rows in the item features. */
  items: Uint32Array;
  ratings: Float64Array;
  /** The bias model's prediction, which ridge and adapters correct. */
  base: Float64Array;
  /** Squared errors of the bias model. */
  biasErrors: Float64Array;
  /** Squared errors of the exact ridge regression. */
  ridgeErrors: Float64Array;
}

/** The users of these ratings in rising order of their ids, each with the events whose movie has features, in time order. */
export function replayBaselines(heldOut: readonly Rating[], features: ItemFeatures): History[] {
  const ofUser = new Map<number, Rating[]>();
  for (const rating of heldOut) {
    if (!features.index.has(rating.movie)) continue;
    const events = ofUser.get(rating.user);
    if (events) events.push(rating);
    else ofUser.set(rating.user, [rating]);
  }
  return [...ofUser]
    .sort(([a], [b]) => a - b)
    .map(([user, events]) =>
      replayUser(
        user,
        events.sort((a, b) => a.time - b.time),
        features,
      ),
    );
}

function replayUser(user: number, events: readonly Rating[], features: ItemFeatures): History {
  const history: History = {
    user,
    items: Uint32Array.from(events, ({ movie }) => features.index.get(movie)!),
    ratings: Float64Array.from(events, ({ rating }) => rating),
    base: new Float64Array(events.length),
    biasErrors: new Float64Array(events.length),
    ridgeErrors: new Float64Array(events.length),
  };
  const precision = new Float64Array(FACTORS * FACTORS);
  for (let j = 0; j < FACTORS; j++) precision[j * FACTORS + j] = 1;
  const evidence = new Float64Array(FACTORS);
  const factor = new Float64Array(FACTORS * FACTORS);
  const weights = new Float64Array(FACTORS);
  let offset = 0;
  for (let n = 0; n < events.length; n++) {
    const item = history.items[n];
    const rating = history.ratings[n];
    const x = features.factors.subarray(item * FACTORS, (item + 1) * FACTORS);
    const itemMean = features.mean + features.bias[item];
    const base = itemMean + offset / (n + BIAS_DAMPING);
    factor.set(precision);
    weights.set(evidence);
    solvePositiveDefinite(factor, weights);
    let correction = 0;
    for (let j = 0; j < FACTORS; j++) correction += x[j] * weights[j];
    history.base[n] = base;
    history.biasErrors[n] = (base - rating) ** 2;
    history.ridgeErrors[n] = (base + correction - rating) ** 2;

    addOuter(precision, x, 1 / NOISE_VARIANCE);
    for (let j = 0; j < FACTORS; j++) evidence[j] += (x[j] * (rating - base)) / NOISE_VARIANCE;
    offset += rating - itemMean;
  }
  return history;
}
