/** From what a user did to a row that an adapter learns from: reward, target, and the checks of both. */
import { fail, rejectUnknownKeys, requireFiniteElements, requireNumber, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type ResolvedTargetPolicy, writePolicyTarget } from './target-policy.js';
import type { FeedbackRows } from './training-step.js';
import type { AdapterFeedback, WatchEvent } from './types.js';

const COMPLETION_WEIGHT = 0.5;
const RATING_WEIGHT = 0.3;
const REWATCH_WEIGHT = 0.2;

export interface FeedbackOptions {
  /** The best rating on the scale in use, > 0; default 5 */
  ratingMax?: number;
  /** [embeddingDim]; passed on, for targetPolicy 'preference' */
  preferenceVector?: Float32Array;
  /** Passed on, for targetPolicy 'direction' */
  residual?: number;
}

/**
 * Feedback from a watch event:
 *
 *   reward = 0.5·completionRate + 0.3·rating/ratingMax + 0.2 if rewatched, held within 0 … 1
 *
 * Without a rating its term is 0; a rating of 0 is a rating. The timestamp is the event's. Embeddings are not copied.
 * Throws ERR_INVALID_ARGUMENT, ERR_NOT_FINITE, ERR_OUT_OF_RANGE (a rating outside 0 … ratingMax) or ERR_LENGTH_MISMATCH
 * (embeddings of different lengths).
 */
export function createAdapterFeedback(
  watchEvent: WatchEvent,
  contentEmbedding: Float32Array,
  targetEmbedding?: Float32Array,
  options: FeedbackOptions = {},
): AdapterFeedback {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
  rejectUnknownKeys('options', options, ['ratingMax', 'preferenceVector', 'residual']);
  const ratingMax = requireNumber('options.ratingMax', options.ratingMax ?? 5, { above: 0 });
  if (!(contentEmbedding instanceof Float32Array)) {
    fail('ERR_INVALID_ARGUMENT', 'contentEmbedding', contentEmbedding, 'a Float32Array');
  }
  requireFiniteElements('contentEmbedding', contentEmbedding);
  if (targetEmbedding !== undefined) requireVector('targetEmbedding', targetEmbedding, contentEmbedding.length);
  const { preferenceVector, residual } = options;
  if (preferenceVector !== undefined) {
    requireVector('options.preferenceVector', preferenceVector, contentEmbedding.length);
  }
  if (residual !== undefined) requireArgument('options.residual', residual);
  const reward = rewardOf(watchEvent, ratingMax);
  const forPolicies = { ...(preferenceVector && { preferenceVector }), ...(residual !== undefined && { residual }) };
  return { contentEmbedding, targetEmbedding, reward, ...forPolicies, watchEvent, timestamp: watchEvent.timestamp };
}

function rewardOf(event: WatchEvent, ratingMax: number): number {
  if (typeof event !== 'object' || event === null) fail('ERR_INVALID_ARGUMENT', 'watchEvent', event, 'a WatchEvent');
  const { completionRate, rating, isRewatch, timestamp } = event;
  requireArgument('watchEvent.completionRate', completionRate);
  if (rating !== undefined) requireArgument('watchEvent.rating', rating, 0, ratingMax);
  if (typeof isRewatch !== 'boolean') {
    fail('ERR_INVALID_ARGUMENT', 'watchEvent.isRewatch', isRewatch, 'true or false');
  }
  if (!(timestamp instanceof Date) || Number.isNaN(timestamp.getTime())) {
    fail('ERR_INVALID_ARGUMENT', 'watchEvent.timestamp', timestamp, 'a valid Date');
  }
  const ratingTerm = rating === undefined ? 0 : RATING_WEIGHT * (rating / ratingMax);
  const reward = COMPLETION_WEIGHT * completionRate + ratingTerm + (isRewatch ? REWATCH_WEIGHT : 0);
  return Math.min(1, Math.max(0, reward));
}

/** A finite number within [min, max], or the error that says which of the three it is not. */
export function requireArgument(name: string, value: unknown, min = -Infinity, max = Infinity): number {
  if (typeof value !== 'number') fail('ERR_INVALID_ARGUMENT', name, value, 'a number');
  if (!Number.isFinite(value)) fail('ERR_NOT_FINITE', name, value, 'a finite number');
  if (value < min || value > max) {
    fail('ERR_OUT_OF_RANGE', name, value, max === Infinity ? `at least ${min}` : `a number from ${min} to ${max}`);
  }
  return value;
}

/** Any string but the empty one. */
export function requireUserId(name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '')
    fail('ERR_INVALID_ARGUMENT', name, value, 'a string that is not empty');
  return value;
}

/** Rows of one adapter's feedback, copied. Throws before anything is used. */
export function gatherFeedback(
  feedback: readonly AdapterFeedback[],
  userId: string,
  embeddingDim: number,
  policy: ResolvedTargetPolicy,
): FeedbackRows {
  const count = feedback.length;
  const x = new Float32Array(count * embeddingDim);
  const target = new Float32Array(x.length);
  const rewards = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const row = feedback[i];
    const name = `feedback[${i}]`;
    if (typeof row !== 'object' || row === null) fail('ERR_INVALID_ARGUMENT', name, row, 'an AdapterFeedback');
    requireSameUser(name, row.watchEvent, userId);
    const content = requireVector(`${name}.contentEmbedding`, row.contentEmbedding, embeddingDim);
    const reward = requireArgument(`${name}.reward`, row.reward, 0, 1);
    x.set(content, i * embeddingDim);
    rewards[i] = reward;
    const { targetEmbedding, preferenceVector, residual } = row;
    if (targetEmbedding === undefined) {
      writePolicyTarget(policy, { name, preferenceVector, residual }, content, reward, target, i * embeddingDim);
    } else {
      target.set(requireVector(`${name}.targetEmbedding`, targetEmbedding, embeddingDim), i * embeddingDim);
    }
  }
  // a residual may be finite and its target not
  requireFiniteElements('feedback targets', target);
  return { count, x, target, rewards };
}

export function requireSameUser(name: string, event: WatchEvent | undefined, userId: string): void {
  if (event?.userId === undefined || event.userId === userId) return;
  throw new LorakeetError(
    'ERR_USER_MISMATCH',
    `${name}.watchEvent.userId: got ${JSON.stringify(event.userId)}, expected ${JSON.stringify(userId)}`,
  );
}
