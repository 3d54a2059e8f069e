/** Warm starts among the users of a pool. */
import type { AdapterState } from '../adapter/state.js';
import { fail, rejectUnknownKeys, requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type FeedbackContext, groupFeedback, requireUserIds } from './grouped-feedback.js';
import type { ResolvedConfig } from './options.js';
import type { PooledAdapters } from './pooled-adapters.js';
import { DEFAULT_SIMILAR, factorsOf, MOST_CANDIDATES, mostSimilar, startAmong } from './transfer.js';
import type { PoolWarmStartOptions } from './types.js';

/** What a user starts from who is not in the pool yet. Throws as AdapterPool.createAdapter. */
export function startInPool(
  adapters: PooledAdapters,
  userId: string,
  options: PoolWarmStartOptions,
  config: ResolvedConfig,
  context: FeedbackContext,
): AdapterState {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_ARGUMENT', 'options', options, 'an object');
  rejectUnknownKeys('options', options, ['warmStart', 'feedback', 'among']);
  const { warmStart = 'prior', feedback = [], among = spread([...adapters.userIds()], MOST_CANDIDATES) } = options;
  const start = adapters.startOf(userId);
  if (requireOneOf('options.warmStart', warmStart, ['prior', 'similar']) === 'prior') return start;
  if (!Array.isArray(feedback)) fail('ERR_INVALID_ARGUMENT', 'options.feedback', feedback, 'an array of PoolFeedback');
  if (!Array.isArray(among)) fail('ERR_INVALID_ARGUMENT', 'options.among', among, 'an array of strings');
  requireUserIds('options.among', among);

  // the start itself has a say as well: it is what whoever is not here sees
  const candidates = [userId, ...among.filter((each) => adapters.has(each))];
  const losses = lossesOn(feedback, candidates, adapters, userId, context);
  const similar = mostSimilar(losses, feedback.length, 1 + DEFAULT_SIMILAR);
  const factors = similar.map(({ index }) => {
    const { shape, weights } = adapters.get(candidates[index]) ?? start;
    return factorsOf(shape, weights);
  });
  const weights = similar.map(({ weight }) => weight);
  return startAmong(start, factors, weights, config.prior !== undefined);
}

function lossesOn(
  feedback: NonNullable<PoolWarmStartOptions['feedback']>,
  candidates: readonly string[],
  adapters: PooledAdapters,
  userId: string,
  context: FeedbackContext,
): number[] {
  if (feedback.length === 0) return candidates.map(() => 0);
  const { userIds, x, target, memory } = groupFeedback(
    feedback.map((row) => (typeof row === 'object' && row !== null ? { userId, ...row } : row)),
    context,
  );
  try {
    const other = userIds.find((each) => each !== userId);
    if (other !== undefined) {
      throw new LorakeetError(
        'ERR_USER_MISMATCH',
        `options.feedback: got rows of ${other}, expected rows of ${userId}`,
      );
    }
    // feedback as objects has targets as vectors
    return adapters.lossesOf(candidates, x, target as Float32Array);
  } finally {
    context.memory.give(memory);
  }
}

/** At most `count` of the users, evenly from the first to the last. */
function spread(userIds: readonly string[], count: number): readonly string[] {
  if (userIds.length <= count) return userIds;
  return Array.from({ length: count }, (_, i) => userIds[Math.floor((i * userIds.length) / count)]);
}
