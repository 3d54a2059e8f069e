/**
 * What the background users teach about the movies: a mean, a bias per movie, and 16 factors per movie of what the biases
 * leave over. Replayed users have no part in it.
 */
import type { Rating } from './data.js';
import { solvePositiveDefinite, symmetricEigen } from './linear-algebra.js';

export const FACTORS = 16;
/** Damping of the bias means: as if that many ratings of average size had been seen before. */
export const BIAS_DAMPING = 5;
const ALS_ROUNDS = 15;
const ALS_RIDGE = 3;
const MIN_RATINGS = 2;

export interface ItemFeatures {
  /** Mean rating. */
  mean: number;
  /** Movie id → row below; movies with fewer than two background ratings have none. */
  index: Map<number, number>;
  /** [items] */
  bias: Float64Array;
  /** [items × FACTORS], scaled so that a user's weights have about unit variance. */
  factors: Float64Array;
}

/** Ratings of one user or item on the other side's rows. */
interface Observations {
  rows: number[];
  residuals: number[];
}

export function fitItemFeatures(background: readonly Rating[]): ItemFeatures {
  const mean = average(background.map(({ rating }) => rating));
  const userBias = dampedMeans(
    background,
    ({ user }) => user,
    ({ rating }) => rating - mean,
  );
  const itemBias = dampedMeans(
    background,
    ({ movie }) => movie,
    ({ user, rating }) => rating - mean - userBias.means.get(user)!,
  );
  const items = [...itemBias.counts].filter(([, count]) => count >= MIN_RATINGS).map(([movie]) => movie);
  const index = new Map(items.map((movie, row) => [movie, row]));
  const users = [...userBias.means.keys()].sort((a, b) => a - b);
  const userIndex = new Map(users.map((user, row) => [user, row]));

  const ofUser = users.map((): Observations => ({ rows: [], residuals: [] }));
  const ofItem = items.map((): Observations => ({ rows: [], residuals: [] }));
  for (const { user, movie, rating } of background) {
    const item = index.get(movie);
    if (item === undefined) continue;
    const residual = rating - mean - userBias.means.get(user)! - itemBias.means.get(movie)!;
    const row = userIndex.get(user)!;
    ofUser[row].rows.push(item);
    ofUser[row].residuals.push(residual);
    ofItem[item].rows.push(row);
    ofItem[item].residuals.push(residual);
  }
  const userFactors = startFactors(users.length);
  const itemFactors = startFactors(items.length);
  for (let round = 0; round < ALS_ROUNDS; round++) {
    fitRows(userFactors, ofUser, itemFactors);
    fitRows(itemFactors, ofItem, userFactors);
  }
  return {
    mean,
    index,
    bias: Float64Array.from(items, (movie) => itemBias.means.get(movie)!),
    factors: toUnitPrior(itemFactors, userFactors),
  };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function dampedMeans(ratings: readonly Rating[], key: (rating: Rating) => number, value: (rating: Rating) => number) {
  const sums = new Map<number, number>();
  const counts = new Map<number, number>();
  for (const rating of ratings) {
    const id = key(rating);
    sums.set(id, (sums.get(id) ?? 0) + value(rating));
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  const means = new Map([...sums].map(([id, sum]) => [id, sum / (counts.get(id)! + BIAS_DAMPING)]));
  return { means, counts };
}

/** Sines instead of random numbers, so that every implementation starts from the same factors. */
function startFactors(rows: number): Float64Array {
  const start = new Float64Array(rows * FACTORS);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < FACTORS; j++) start[i * FACTORS + j] = 0.1 * Math.sin(1.618 * (i + 1) * (j + 1));
  }
  return start;
}

/** One half of alternating least squares: each row of `table` becomes the ridge fit to its residuals. */
function fitRows(table: Float64Array, observations: readonly Observations[], other: Float64Array): void {
  const gram = new Float64Array(FACTORS * FACTORS);
  const right = new Float64Array(FACTORS);
  observations.forEach(({ rows, residuals }, i) => {
    if (rows.length === 0) return;
    gram.fill(0);
    right.fill(0);
    for (let j = 0; j < FACTORS; j++) gram[j * FACTORS + j] = ALS_RIDGE;
    rows.forEach((row, k) => {
      const factor = other.subarray(row * FACTORS, (row + 1) * FACTORS);
      addOuter(gram, factor, 1);
      for (let j = 0; j < FACTORS; j++) right[j] += factor[j] * residuals[k];
    });
    solvePositiveDefinite(gram, right);
    table.set(right, i * FACTORS);
  });
}

/** Adds weight·x·xᵀ to the lower triangle of a [FACTORS × FACTORS] matrix. */
export function addOuter(matrix: Float64Array, x: Float64Array, weight: number): void {
  for (let i = 0; i < FACTORS; i++) {
    const scaled = weight * x[i];
    for (let j = 0; j <= i; j++) matrix[i * FACTORS + j] += scaled * x[j];
  }
}

/** Rotates and scales item factors by the second moment of the users' factors: Q·V·√Λ with PᵀP/n = VΛVᵀ. */
function toUnitPrior(itemFactors: Float64Array, userFactors: Float64Array): Float64Array {
  const users = userFactors.length / FACTORS;
  const moment = new Float64Array(FACTORS * FACTORS);
  for (let u = 0; u < users; u++) addOuter(moment, userFactors.subarray(u * FACTORS, (u + 1) * FACTORS), 1 / users);
  for (let i = 0; i < FACTORS; i++) for (let j = 0; j < i; j++) moment[j * FACTORS + i] = moment[i * FACTORS + j];
  const { values, vectors } = symmetricEigen(moment, FACTORS);
  const rotated = new Float64Array(itemFactors.length);
  for (let row = 0; row < itemFactors.length; row += FACTORS) {
    for (let j = 0; j < FACTORS; j++) {
      let sum = 0;
      for (let k = 0; k < FACTORS; k++) sum += itemFactors[row + k] * vectors[k * FACTORS + j];
      rotated[row + j] = sum * Math.sqrt(Math.max(values[j], 1e-9));
    }
  }
  return rotated;
}
