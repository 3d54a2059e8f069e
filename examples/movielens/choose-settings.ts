/**
 * How ADAPTER_SETTINGS were chosen: node build/examples/movielens/choose-settings.js
 *
 * The users that seeds 0, 1 and 2 all count as background are replayed by none of them. Here they are, with the item
 * features fitted to the rest of each seed's background; so no user whose replay is reported ever had a say. Prints the
 * share of the ridge gain that each combination captures, per seed.
 */
import { createAdapterPool, silentLogger } from 'lorakeet';
import { type History, replayBaselines } from './baselines.js';
import { isBackgroundUser, readRatings } from './data.js';
import { fitItemFeatures } from './features.js';
import { shippedData } from './job.js';
import { ADAPTER_SETTINGS, DivergedError, itemTable, replayAdapters } from './replay.js';
import { formatShare, summarize } from './results.js';

const SEEDS = [0, 1, 2];
const RANKS = [4, 8, 16];
const LEARNING_RATES = [2, 3, 4, 5];
const WEIGHT_DECAYS = [0, 0.0005, 0.001, 0.002];
const CLIP_BOUNDS = [0.05, 0.1, 1];

const { ratings } = readRatings(shippedData());
const chooser = (user: number) => SEEDS.every((seed) => isBackgroundUser(user, seed));
const splits = SEEDS.map((seed) => {
  const features = fitItemFeatures(ratings.filter(({ user }) => isBackgroundUser(user, seed) && !chooser(user)));
  return {
    seed,
    items: itemTable(features),
    histories: replayBaselines(
      ratings.filter(({ user }) => chooser(user)),
      features,
    ),
  };
});

for (const rank of RANKS) {
  for (const learningRate of LEARNING_RATES) {
    for (const weightDecay of WEIGHT_DECAYS) {
      for (const gradientClipThreshold of CLIP_BOUNDS) {
        const settings = { rank, learningRate, weightDecay, gradientClipThreshold };
        const shares: number[] = [];
        for (const split of splits) shares.push(await gainShare(split, settings));
        const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
        console.log(JSON.stringify(settings), '|', ...shares.map(formatShare), '| mean', formatShare(mean));
      }
    }
  }
}

interface Settings {
  rank: number;
  learningRate: number;
  weightDecay: number;
  gradientClipThreshold: number;
}

/** The share of the ridge gain; −∞ where an adapter diverges. */
async function gainShare(
  { seed, items, histories }: { seed: number; items: Float32Array; histories: History[] },
  { rank, learningRate, weightDecay, gradientClipThreshold }: Settings,
): Promise<number> {
  const pool = createAdapterPool({
    ...ADAPTER_SETTINGS,
    rank,
    // alpha = rank: the multiplier of B·A stays 1
    scalingFactor: rank,
    learningRate,
    gradientClipThreshold,
    optimizer: { kind: 'sgd', weightDecay },
    items,
    capacity: histories.length,
    logger: silentLogger,
  });
  try {
    const adapter = histories.map(({ items: events }) => new Float64Array(events.length));
    const batches = [];
    for await (const { batch, users, errors, seconds } of replayAdapters(pool, items, histories, 0)) {
      users.forEach((user, row) => {
        adapter[user][batch] = errors[row];
      });
      batches.push({ users: users.length, seconds });
    }
    const users = histories.map(({ user, biasErrors: bias, ridgeErrors: ridge }, i) => ({
      user,
      bias,
      ridge,
      adapter: adapter[i],
    }));
    return summarize({ seed, users, batches, backend: pool.backend }).ridgeGainShare ?? Number.NaN;
  } catch (error) {
    if (error instanceof DivergedError) return Number.NEGATIVE_INFINITY;
    throw error;
  } finally {
    await pool.close();
  }
}
