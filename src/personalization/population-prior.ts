/** Fitting, from the feedback of many users, what new users' adapters start from. */
import { initializeWeights } from '../adapter/initialization.js';
import { hashSeed, Random } from '../adapter/random.js';
import { fail } from '../checks.js';
import type { FeedbackHistories } from '../continual/histories.js';
import { fitPrior } from '../continual/population-prior.js';
import { recordOf, stateOfUser } from './adapter-record.js';
import { openBackend } from './backend.js';
import { type GroupedFeedback, groupFeedback } from './grouped-feedback.js';
import { adapterShapeOf, learningRateAt, poolConfigOf, resolvePoolOptions } from './options.js';
import { RowMemory } from './row-memory.js';
import type { AdapterPoolOptions, FeedbackBatch, PoolFeedback, UserLoRAAdapter } from './types.js';
import { newUserMeta } from './user-meta.js';

const PRIOR_USER = 'population';

export interface PopulationPrior {
  /**
   * For the option `prior`: an adapter (of the user "population") with anchor, Fisher and optimizer state, to be serialized
   * like any other. Absent if no common start predicts this feedback better than starting fresh.
   */
  adapter?: UserLoRAAdapter;
  users: number;
  /** Feedback rows. */
  rows: number;
  /** Mean loss of every row before it was learned, by adapters that start from the prior. */
  loss: number;
  /** The same by fresh adapters. */
  freshLoss: number;
  /** Share of what fresh adapters learned that lies in the prior's output directions, 0 … 1. */
  reachedEnergy: number;
}

/**
 * Fits a prior to feedback of many users, each one's in time order, as they would give it to a pool with these `options`
 * (whose capacity and prior do not matter). Some hundred users with some ten rows each are enough. It replays them about
 * twenty times, in the background, and holds two sets of their adapters while it runs. Content that was made with the
 * help of the same feedback looks more predictable than it will be for new users; docs/continual.md says what to do.
 *
 * Throws as AdapterPool and its learn() do, ERR_INVALID_CONFIG for a contrastive targetPolicy, and ERR_INVALID_ARGUMENT for feedback of nobody.
 */
export async function fitPopulationPrior(
  feedback: readonly PoolFeedback[] | FeedbackBatch,
  options?: AdapterPoolOptions,
): Promise<PopulationPrior> {
  const { config, items } = resolvePoolOptions(options);
  if (config.targetPolicy.kind === 'contrastive') {
    fail('ERR_INVALID_CONFIG', 'targetPolicy.kind', 'contrastive', 'a policy whose loss is the squared error');
  }
  const { backend } = openBackend(config);
  const shape = adapterShapeOf(config);
  const features = config.embeddingDim;
  const { firstNonFinite } = backend;
  const grouped = groupFeedback(feedback, {
    features,
    items,
    policy: config.targetPolicy,
    memory: new RowMemory(),
    firstNonFinite,
  });
  const users = grouped.userIds.length;
  if (users === 0) fail('ERR_INVALID_ARGUMENT', 'feedback', feedback, 'feedback of at least one user');
  const histories = historiesOf(grouped, items, features);
  const { start, ...figures } = await fitPrior({
    backend,
    config: poolConfigOf(config, 1),
    learningRateAt: (step) => learningRateAt(config, step),
    freshWeights: (user) => initializeWeights(shape, new Random(hashSeed(config.seed, grouped.userIds[user]))),
    histories,
  });
  const rows = histories.x.length / features;
  const meta = newUserMeta(PRIOR_USER, config.learningRate, Date.now());
  const adapter = start && recordOf(stateOfUser(shape, { ...meta, totalSamples: rows, avgLoss: figures.loss }, start));
  return { ...(adapter && { adapter }), users, rows, ...figures };
}

/** All rows as vectors: which items users share does not matter here. */
function historiesOf(grouped: GroupedFeedback, items: Float32Array | null, features: number): FeedbackHistories {
  const vectorsOf = (rows: GroupedFeedback['x']) => {
    if (rows instanceof Float32Array) return rows;
    const vectors = new Float32Array(rows.length * features);
    rows.forEach((item, i) => {
      vectors.set((items as Float32Array).subarray(item * features, (item + 1) * features), i * features);
    });
    return vectors;
  };
  const { rowOffsets, x, target, rowWeight } = grouped;
  return { rowOffsets, x: vectorsOf(x), target: vectorsOf(target), ...(rowWeight && { rowWeight }) };
}
