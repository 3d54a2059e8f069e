/** From what a user did to a row that an adapter learns from: reward, target, and the checks of both. */
import { fail, rejectUnknownKeys, requireFiniteElements, requireNumber, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { AdapterFeedback, WatchEvent } from './types.js';

const COMPLETION_WEIGHT = 0.5;
const RATING_WEIGHT = 0.3;
const REWATCH_WEIGHT = 0.2;

export interface FeedbackOptions {
  /** The best rating on the scale in use, > 0; default 5 */
  ratingMax?: number;
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
  rejectUnknownKeys('options', options, ['ratingMax']);
  const ratingMax = requireNumber('options.ratingMax', options.ratingMax ?? 5, { above: 0 });
  if (!(contentEmbedding instanceof Float32Array)) {
    fail('ERR_INVALID_ARGUMENT', 'contentEmbedding', contentEmbedding, 'a Float32Array');
  }
  requireFiniteElements('contentEmbedding', contentEmbedding);
  if (targetEmbedding !== undefined) requireVector('targetEmbedding', targetEmbedding, contentEmbedding.length);
  const reward = rewardOf(watchEvent, ratingMax);
  return { contentEmbedding, targetEmbedding, reward, watchEvent, timestamp: watchEvent.timestamp };
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

/** The default target: the content itself, shrunk to the share of it that the user cared for. */
export function writeRewardTarget(content: Float32Array, reward: number, target: Float32Array, offset: number): void {
  for (let j = 0; j < content.length; j++) target[offset + j] = reward * content[j];
}

/** Rows of one adapter's feedback: x and target [n × embeddingDim], copied. Throws before anything is used. */
export function gatherFeedback(
  feedback: readonly AdapterFeedback[],
  userId: string,
  embeddingDim: number,
): { x: Float32Array; target: Float32Array } {
  const x = new Float32Array(feedback.length * embeddingDim);
  const target = new Float32Array(x.length);
  for (let i = 0; i < feedback.length; i++) {
    const row = feedback[i];
    const name = `feedback[${i}]`;
    if (typeof row !== 'object' || row === null) fail('ERR_INVALID_ARGUMENT', name, row, 'an AdapterFeedback');
    requireSameUser(name, row.watchEvent, userId);
    const content = requireVector(`${name}.contentEmbedding`, row.contentEmbedding, embeddingDim);
    const reward = requireArgument(`${name}.reward`, row.reward, 0, 1);
    x.set(content, i * embeddingDim);
    if (row.targetEmbedding === undefined) writeRewardTarget(content, reward, target, i * embeddingDim);
    else target.set(requireVector(`${name}.targetEmbedding`, row.targetEmbedding, embeddingDim), i * embeddingDim);
  }
  return { x, target };
}

export function requireSameUser(name: string, event: WatchEvent | undefined, userId: string): void {
  if (event?.userId === undefined || event.userId === userId) return;
  throw new LorakeetError(
    'ERR_USER_MISMATCH',
    `${name}.watchEvent.userId: got ${JSON.stringify(event.userId)}, expected ${JSON.stringify(userId)}`,
  );
}
