/**
 * Adapters with the package's default settings, with and without a population prior: what the background users' feedback
 * is worth to the replayed ones. The fit sees no replayed user, and every background user with features that the others
 * made (features.ts says why).
 */
import {
  type AdapterPoolOptions,
  createAdapterPool,
  fitPopulationPrior,
  type PopulationPrior,
  silentLogger,
} from 'lorakeet';
import { type History, replayBaselines } from './baselines.js';
import { isBackgroundUser, type Rating } from './data.js';
import { fitFoldFeatures, fitItemFeatures } from './features.js';
import { CORRECTION_AXIS, EMBEDDING_DIM, itemTable, replayAdapters } from './replay.js';
import { meanDifference, type RunResult, rootMean, type Summary, summarize } from './results.js';

/** Nothing but what the data demand: all else is the engine's default. */
export const DEFAULTS = { embeddingDim: EMBEDDING_DIM, logger: silentLogger } as const satisfies AdapterPoolOptions;

const FOLDS = 5;

/** Events of a user that count as his start. */
const START = 10;

export interface PriorTrial {
  seed: number;
  prior: PopulationPrior;
  fresh: Summary;
  informed: Summary;
  start: StartFigures;
}

/** Over each user's first ten events. */
export interface StartFigures {
  /** RMSE */
  bias: number;
  ridge: number;
  fresh: number;
  informed: number;
  /** Mean over users of (informed − fresh) of the mean squared error, and the standard error of that mean. */
  difference: number;
  standardError: number;
}

export async function tryPrior(ratings: readonly Rating[], seed: number): Promise<PriorTrial> {
  const background = ratings.filter(({ user }) => isBackgroundUser(user, seed));
  const heldOut = ratings.filter(({ user }) => !isBackgroundUser(user, seed));
  const features = fitItemFeatures(background);
  const histories = replayBaselines(heldOut, features);
  const items = itemTable(features);
  const prior = await fitPopulationPrior(backgroundFeedback(background), DEFAULTS);
  const fresh = await replay(histories, { ...DEFAULTS, items }, seed);
  const informed = await replay(histories, { ...DEFAULTS, items, prior: prior.adapter }, seed);
  return { seed, prior, fresh: summarize(fresh), informed: summarize(informed), start: startFigures(fresh, informed) };
}

/** What the background users would have told the pool, each one's ratings in the order of time. */
export function backgroundFeedback(background: readonly Rating[]): {
  userIds: string[];
  content: Float32Array;
  target: Float32Array;
} {
  const folds = fitFoldFeatures(background, FOLDS).map(({ users, features }) => ({
    items: itemTable(features),
    histories: replayBaselines(
      background.filter(({ user }) => users.has(user)),
      features,
    ),
  }));
  const rows = folds.flatMap(({ histories }) => histories).reduce((sum, { items }) => sum + items.length, 0);
  const userIds: string[] = [];
  const content = new Float32Array(rows * EMBEDDING_DIM);
  for (const { items, histories } of folds) {
    for (const { user, items: events } of histories) {
      for (const item of events) {
        content.set(items.subarray(item * EMBEDDING_DIM, (item + 1) * EMBEDDING_DIM), userIds.length * EMBEDDING_DIM);
        userIds.push(String(user));
      }
    }
  }
  const target = content.slice();
  let row = 0;
  for (const { base, ratings } of folds.flatMap(({ histories }) => histories)) {
    for (let event = 0; event < ratings.length; event++, row++) {
      target[row * EMBEDDING_DIM + CORRECTION_AXIS] = ratings[event] - base[event];
    }
  }
  return { userIds, content, target };
}

async function replay(
  histories: readonly History[],
  options: AdapterPoolOptions & { items: Float32Array },
  seed: number,
): Promise<RunResult> {
  const pool = createAdapterPool({ ...options, capacity: histories.length });
  try {
    const adapter = histories.map(({ items }) => new Float64Array(items.length));
    const batches: RunResult['batches'] = [];
    for await (const { batch, users, errors, seconds } of replayAdapters(pool, options.items, histories, 0)) {
      users.forEach((user, row) => {
        adapter[user][batch] = errors[row];
      });
      batches.push({ users: users.length, seconds });
    }
    const users = histories.map(({ user, biasErrors: bias, ridgeErrors: ridge }, i) => {
      return { user, bias, ridge, adapter: adapter[i] };
    });
    return { seed, users, batches, backend: pool.backend };
  } finally {
    await pool.close();
  }
}

function startFigures(fresh: RunResult, informed: RunResult): StartFigures {
  const startOf = ({ users }: RunResult, model: 'bias' | 'ridge' | 'adapter') =>
    users.map((user) => user[model].subarray(0, START));
  const [before, after] = [startOf(fresh, 'adapter'), startOf(informed, 'adapter')];
  return {
    bias: rootMean(startOf(fresh, 'bias'))!,
    ridge: rootMean(startOf(fresh, 'ridge'))!,
    fresh: rootMean(before)!,
    informed: rootMean(after)!,
    ...meanDifference(after, before),
  };
}
