/**
 * The people of the MovieLens example (examples/movielens): one rating is one update; every fourth one is kept aside.
 *
 * A background user either teaches the movies' features or is watched by the bank: features fitted to the ratings that
 * adapters then learn from would make bold learning rates look better than they are for new users.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { LoRAConfig } from '#lorakeet/personalization/types.js';
import type { Batch, Learner, Population } from './learners.js';

const UPDATES = 40;
const MAX_EARLIER_UPDATES = 400;
const TEST_EVERY = 4;

interface Rating {
  user: number;
}
interface History {
  user: number;
  items: Uint32Array;
  ratings: Float64Array;
  base: Float64Array;
}
interface Example {
  readRatings(folder: string): { ratings: Rating[] };
  isBackgroundUser(user: number, seed: number): boolean;
  fitItemFeatures(background: readonly Rating[]): object;
  replayBaselines(ratings: readonly Rating[], features: object): History[];
  itemTable(features: object): Float32Array;
  EMBEDDING_DIM: number;
  CORRECTION_AXIS: number;
  ADAPTER_SETTINGS: LoRAConfig;
}

/** The example's compiled files, which are no part of the package. */
export async function loadExample(root: string): Promise<Example> {
  const names = ['data', 'features', 'baselines', 'replay'];
  const files = names.map((name) => pathToFileURL(join(root, 'build', 'examples', 'movielens', `${name}.js`)).href);
  return Object.assign({}, ...(await Promise.all(files.map((file) => import(file)))));
}

export function movieLensPopulation(example: Example, root: string, seed: number): Population {
  const { ratings } = example.readRatings(join(root, 'data', 'movielens-small'));
  const isBackground = ({ user }: Rating) => example.isBackgroundUser(user, seed);
  const teaches = ({ user }: Rating) => user % 5 < 3;
  const features = example.fitItemFeatures(ratings.filter((one) => isBackground(one) && teaches(one)));
  const items = example.itemTable(features);
  const learners = (some: Rating[], keepAside: boolean) =>
    example.replayBaselines(some, features).map((history) => learnerOf(example, items, history, keepAside));
  return {
    features: example.EMBEDDING_DIM,
    earlier: learners(
      ratings.filter((one) => isBackground(one) && !teaches(one)),
      false,
    ).filter(({ batches }) => batches.length > 1),
    fresh: learners(
      ratings.filter((one) => !isBackground(one)),
      true,
    ).filter(({ batches }) => batches.length === UPDATES),
  };
}

function learnerOf(example: Example, items: Float32Array, history: History, keepAside: boolean): Learner {
  const { EMBEDDING_DIM: features, CORRECTION_AXIS: axis } = example;
  const batchOf = (events: readonly number[]): Batch => {
    const x = new Float32Array(events.length * features);
    events.forEach((event, row) => {
      const item = history.items[event] * features;
      x.set(items.subarray(item, item + features), row * features);
    });
    const target = x.slice();
    events.forEach((event, row) => {
      target[row * features + axis] = history.ratings[event] - history.base[event];
    });
    return { x, target };
  };
  const events = Array.from(history.items, (_, event) => event);
  const isTest = (event: number) => keepAside && event % TEST_EVERY === TEST_EVERY - 1;
  const learnt = events.filter((event) => !isTest(event)).slice(0, keepAside ? UPDATES : MAX_EARLIER_UPDATES);
  return {
    userId: `user-${history.user}`,
    batches: learnt.map((event) => batchOf([event])),
    test: batchOf(events.filter(isTest)),
  };
}
