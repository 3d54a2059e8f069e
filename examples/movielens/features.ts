/**
 * What the background users teach about the movies: a mean, a bias per movie, and 16 factors per movie of what the biases
 * leave over. Replayed users have no part in it.
 */
import type { Rating } from './data.js';
import { type Eigen, solvePositiveDefinite, symmetricEigen } from './linear-algebra.js';

export const FACTORS = 16;
/** Damping of the bias means: as if that many ratings of average size had been seen before. */
export const BIAS_DAMPING = 5;
const ALS_ROUNDS = 15;
const ALS_RIDGE = 3;
const MIN_RATINGS = 2;
/** Ten instead of five change no figure of the prior by more than one in its last place. */
const FORGETTING_ROUNDS = 5;

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
  const table = itemTableOf(background);
  const observed = observe(background, table, table.itemBias);
  const factors = { users: startFactors(table.users.size), items: startFactors(table.items.length) };
  alternate(factors, observed, ALS_ROUNDS);
  return featuresOf(table, table.itemBias, toUnitPrior(factors.items, unitPrior(factors.users)));
}

/** Features that some of the background users had no part in. */
export interface FoldFeatures {
  /** Who had none. */
  users: Set<number>;
  features: ItemFeatures;
}

/**
 * For every user of the background the features that the others make, in `count` folds: what his own ratings say about
 * them is then as new as a replayed user's. Each fold starts from the factors of all and forgets its users in some more
 * rounds, so that all folds have about the same axes.
 */
export function fitFoldFeatures(background: readonly Rating[], count: number): FoldFeatures[] {
  const table = itemTableOf(background);
  const all = { users: startFactors(table.users.size), items: startFactors(table.items.length) };
  alternate(all, observe(background, table, table.itemBias), ALS_ROUNDS);
  const prior = unitPrior(all.users);
  return Array.from({ length: count }, (_, fold) => {
    const users = new Set([...table.users.keys()].filter((user) => table.users.get(user)! % count === fold));
    const others = background.filter(({ user }) => !users.has(user));
    const itemBias = itemBiasOf(others, table).means;
    const factors = { users: all.users.slice(), items: new Float64Array(all.items.length) };
    const observed = observe(others, table, itemBias);
    fitRows(factors.items, observed.ofItem, factors.users);
    alternate(factors, observed, FORGETTING_ROUNDS);
    return { users, features: featuresOf(table, itemBias, toUnitPrior(factors.items, prior)) };
  });
}

/** Who and what there is, and the damped means. */
interface ItemTable {
  mean: number;
  /** User → row, and his bias. */
  users: Map<number, number>;
  userBias: Map<number, number>;
  items: number[];
  index: Map<number, number>;
  itemBias: Map<number, number>;
}

function itemTableOf(background: readonly Rating[]): ItemTable {
  const mean = average(background.map(({ rating }) => rating));
  const userBias = dampedMeans(
    background,
    ({ user }) => user,
    ({ rating }) => rating - mean,
  ).means;
  const { means, counts } = itemBiasOf(background, { mean, userBias });
  const items = [...counts].filter(([, count]) => count >= MIN_RATINGS).map(([movie]) => movie);
  const users = [...userBias.keys()].sort((a, b) => a - b);
  return {
    mean,
    users: new Map(users.map((user, row) => [user, row])),
    userBias,
    items,
    index: new Map(items.map((movie, row) => [movie, row])),
    itemBias: means,
  };
}

function itemBiasOf(ratings: readonly Rating[], { mean, userBias }: Pick<ItemTable, 'mean' | 'userBias'>) {
  return dampedMeans(
    ratings,
    ({ movie }) => movie,
    ({ user, rating }) => rating - mean - userBias.get(user)!,
  );
}

interface Observed {
  ofUser: Observations[];
  ofItem: Observations[];
}

/** What the biases leave over, by user and by item. */
function observe(ratings: readonly Rating[], table: ItemTable, itemBias: Map<number, number>): Observed {
  const empty = (): Observations => ({ rows: [], residuals: [] });
  const ofUser = [...table.users].map(empty);
  const ofItem = table.items.map(empty);
  for (const { user, movie, rating } of ratings) {
    const item = table.index.get(movie);
    if (item === undefined) continue;
    const residual = rating - table.mean - table.userBias.get(user)! - itemBias.get(movie)!;
    const row = table.users.get(user)!;
    ofUser[row].rows.push(item);
    ofUser[row].residuals.push(residual);
    ofItem[item].rows.push(row);
    ofItem[item].residuals.push(residual);
  }
  return { ofUser, ofItem };
}

function alternate(factors: { users: Float64Array; items: Float64Array }, observed: Observed, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    fitRows(factors.users, observed.ofUser, factors.items);
    fitRows(factors.items, observed.ofItem, factors.users);
  }
}

function featuresOf(table: ItemTable, itemBias: Map<number, number>, factors: Float64Array): ItemFeatures {
  const bias = Float64Array.from(table.items, (movie) => itemBias.get(movie) ?? 0);
  return { mean: table.mean, index: table.index, bias, factors };
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
    if (rows.length === 0) {
      table.fill(0, i * FACTORS, (i + 1) * FACTORS);
      return;
    }
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

/** The second moment of the users' factors, as PᵀP/n = VΛVᵀ. */
function unitPrior(userFactors: Float64Array): Eigen {
  const users = userFactors.length / FACTORS;
  const moment = new Float64Array(FACTORS * FACTORS);
  for (let u = 0; u < users; u++) addOuter(moment, userFactors.subarray(u * FACTORS, (u + 1) * FACTORS), 1 / users);
  for (let i = 0; i < FACTORS; i++) for (let j = 0; j < i; j++) moment[j * FACTORS + i] = moment[i * FACTORS + j];
  return symmetricEigen(moment, FACTORS);
}

/** Rotates and scales item factors so that the users' have second moment 1: Q·V·√Λ. */
function toUnitPrior(itemFactors: Float64Array, { values, vectors }: Eigen): Float64Array {
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
