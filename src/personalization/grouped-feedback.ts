/** Feedback of many users in either public form → checked, copied, and grouped by user as the kernels want it (CSR). */
import { fail, requireFiniteElements, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { KernelBackend, Rows } from '../kernels/contract.js';
import { requireArgument, requireSameUser, requireUserId } from './feedback.js';
import type { RowMemory } from './row-memory.js';
import { type ResolvedTargetPolicy, writePolicyTarget } from './target-policy.js';
import type { FeedbackBatch, PoolFeedback } from './types.js';
import { groupByUser } from './user-groups.js';

/** Users in the order in which they first appear, each one's rows in the order in which they came. */
export interface GroupedFeedback {
  /** [users], distinct */
  userIds: string[];
  /** [users + 1] */
  rowOffsets: Uint32Array;
  x: Rows;
  target: Rows;
  rowWeight?: Float32Array;
  /** [rows] 0 … 1, with a contrastive policy, which alone needs them further on */
  rewards?: Float32Array;
  /** Where x and target lie, as far as they are vectors; to be given back once they are learned. */
  memory: Float32Array;
}

/** What feedback is checked against, and where it is copied to. */
export interface FeedbackContext {
  /** Numbers in a row. */
  features: number;
  /** The table that item numbers refer to, [items × features]. */
  items: Float32Array | null;
  policy: ResolvedTargetPolicy;
  memory: RowMemory;
  firstNonFinite: KernelBackend['firstNonFinite'];
}

/** Numbers from which on a view and set() are faster than a loop. */
const WIDE = 256;

/**
 * Throws ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, ERR_OUT_OF_RANGE, ERR_NO_ITEMS or
 * ERR_ITEM_OUT_OF_RANGE naming the row, and ERR_OUT_OF_MEMORY.
 */
export function groupFeedback(
  feedback: readonly PoolFeedback[] | FeedbackBatch,
  context: FeedbackContext,
): GroupedFeedback {
  return Array.isArray(feedback) ? groupObjects(feedback, context) : groupColumns(feedback as FeedbackBatch, context);
}

function groupColumns(batch: FeedbackBatch, context: FeedbackContext): GroupedFeedback {
  if (typeof batch !== 'object' || batch === null) {
    fail('ERR_INVALID_ARGUMENT', 'feedback', batch, 'an array of PoolFeedback or a FeedbackBatch');
  }
  const { userIds: rowUsers, content, target, weight, reward } = batch;
  if (!Array.isArray(rowUsers)) fail('ERR_INVALID_ARGUMENT', 'feedback.userIds', rowUsers, 'an array of strings');
  const count = requireUserIds('feedback.userIds', rowUsers);
  requireRows('feedback.content', content, count, context);
  requireRows('feedback.target', target, count, context);
  if (weight !== undefined) requireWeights('feedback.weight', weight, count);
  const isContrastive = context.policy.kind === 'contrastive';
  if (reward !== undefined) {
    requireWeights('feedback.reward', reward, count, 1);
    if (!isContrastive) fail('ERR_INVALID_ARGUMENT', 'feedback.reward', reward, "a pool of targetPolicy 'contrastive'");
  }

  const { userIds, rowOffsets, places } = groupByUser(rowUsers);
  // a contrastive step compares vectors
  const wanted = isContrastive && target instanceof Uint32Array ? rowsOfItems(target, context) : target;
  const lengthOf = (rows: Rows) => (rows instanceof Float32Array ? rows.length : 0);
  const memory = context.memory.take(lengthOf(content) + lengthOf(wanted));
  const copyOf = (name: string, rows: Rows, begin: number): Rows => {
    if (rows instanceof Uint32Array) return copyRows(rows, new Uint32Array(count), places);
    return copyFinite(name, rows, memory.subarray(begin, begin + rows.length), places, context);
  };
  return {
    userIds,
    rowOffsets,
    x: copyOf('feedback.content', content, 0),
    target: copyOf('feedback.target', wanted, lengthOf(content)),
    ...(weight && { rowWeight: copyRows(weight, new Float32Array(count), places) }),
    ...(isContrastive && {
      rewards: copyRows(reward ?? new Float32Array(count).fill(1), new Float32Array(count), places),
    }),
    memory,
  };
}

function rowsOfItems(numbers: Uint32Array, { items, features }: FeedbackContext): Float32Array {
  const rows = new Float32Array(numbers.length * features);
  numbers.forEach((item, i) => {
    rows.set((items as Float32Array).subarray(item * features, (item + 1) * features), i * features);
  });
  return rows;
}

/** Row i of `rows` goes to row places[i] of `copy`; a row is as wide as the lengths say. Returns `copy`. */
function copyRows<T extends Rows>(rows: T, copy: T, places: Uint32Array | undefined): T {
  if (!places) {
    copy.set(rows);
    return copy;
  }
  const width = rows.length / places.length;
  for (let i = 0; i < places.length; i++) {
    const [from, to] = [i * width, places[i] * width];
    if (width >= WIDE) copy.set(rows.subarray(from, from + width), to);
    else for (let j = 0; j < width; j++) copy[to + j] = rows[from + j];
  }
  return copy;
}

/** As copyRows, of finite numbers only. */
function copyFinite(
  name: string,
  rows: Float32Array,
  copy: Float32Array,
  places: Uint32Array | undefined,
  { firstNonFinite }: FeedbackContext,
): Float32Array {
  const i = places ? firstNonFinite(rows) : firstNonFinite(rows, copy);
  if (i >= 0) fail('ERR_NOT_FINITE', `${name}[${i}]`, rows[i], 'a finite number');
  return places ? copyRows(rows, copy, places) : copy;
}

/** Returns their number. */
export function requireUserIds(name: string, userIds: readonly string[]): number {
  for (let i = 0; i < userIds.length; i++) {
    // the name is built only when needed: this runs for every row
    if (typeof userIds[i] !== 'string' || userIds[i] === '') requireUserId(`${name}[${i}]`, userIds[i]);
  }
  return userIds.length;
}

/** Everything but that vectors are finite. */
function requireRows(name: string, rows: unknown, count: number, context: FeedbackContext): void {
  if (rows instanceof Uint32Array) {
    requireLength(name, rows.length, count);
    const itemCount = countItems(name, context);
    for (let i = 0; i < count; i++) if (rows[i] >= itemCount) requireItem(`${name}[${i}]`, rows[i], itemCount);
  } else {
    requireFloats(name, rows, count * context.features);
  }
}

function requireFloats(name: string, values: unknown, length: number): Float32Array {
  if (!(values instanceof Float32Array)) {
    fail('ERR_INVALID_ARGUMENT', name, values, `a Float32Array of length ${length}`);
  }
  requireLength(name, values.length, length);
  return values;
}

function requireWeights(name: string, weights: unknown, count: number, max = Infinity): void {
  const checked = requireFloats(name, weights, count);
  requireFiniteElements(name, checked);
  for (let i = 0; i < count; i++) {
    if (checked[i] < 0 || checked[i] > max) requireArgument(`${name}[${i}]`, checked[i], 0, max);
  }
}

function countItems(name: string, { items, features }: FeedbackContext): number {
  if (items === null)
    throw new LorakeetError('ERR_NO_ITEMS', `${name}: got item numbers, expected a pool with \`items\``);
  return items.length / features;
}

function requireItem(name: string, item: number, itemCount: number): void {
  if (!Number.isInteger(item) || item < 0 || item >= itemCount) {
    fail('ERR_ITEM_OUT_OF_RANGE', name, item, `a row of the item table, 0 to ${itemCount - 1}`);
  }
}

/** Rows by item number stay numbers when all are; otherwise all become vectors. */
function groupObjects(feedback: readonly PoolFeedback[], context: FeedbackContext): GroupedFeedback {
  const { features } = context;
  const count = feedback.length;
  const rowUsers: string[] = [];
  let allItems = true;
  for (let i = 0; i < count; i++) {
    const row = feedback[i];
    if (typeof row !== 'object' || row === null) fail('ERR_INVALID_ARGUMENT', `feedback[${i}]`, row, 'a PoolFeedback');
    rowUsers.push(userOf(i, row));
    if (row.item === undefined) allItems = false;
  }

  const { userIds, rowOffsets, places } = groupByUser(rowUsers);
  const length = count * features;
  const memory = context.memory.take(allItems ? length : 2 * length);
  const target = memory.subarray(0, length);
  const x = allItems ? new Uint32Array(count) : memory.subarray(length, 2 * length);
  const rowWeight = new Float32Array(count).fill(1);
  const rewards = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const row = feedback[i];
    const place = places ? places[i] : i;
    const content = contentOf(i, row, context);
    if (x instanceof Uint32Array) x[place] = row.item as number;
    else x.set(content, place * features);
    if (row.weight !== undefined) {
      rowWeight[place] = requireArgument(`feedback[${i}].weight`, row.weight, 0, MAX_FLOAT32);
    }
    const { targetEmbedding, preferenceVector, residual } = row;
    const reward = rewardOf(i, row);
    rewards[place] = reward;
    if (targetEmbedding === undefined) {
      const named = { name: `feedback[${i}]`, preferenceVector, residual };
      writePolicyTarget(context.policy, named, content, reward, target, place * features);
    } else target.set(vectorOf(i, 'targetEmbedding', targetEmbedding, features), place * features);
  }
  if (x instanceof Float32Array) requireFiniteRows(x, 'contentEmbedding', places, context);
  requireFiniteRows(target, 'targetEmbedding', places, context);
  const forPolicy = context.policy.kind === 'contrastive' && { rewards };
  return { userIds, rowOffsets, x, target, rowWeight, ...forPolicy, memory };
}

function userOf(i: number, { userId, watchEvent }: PoolFeedback): string {
  const user = userId ?? watchEvent?.userId;
  if (typeof user !== 'string' || user === '') return requireUserId(`feedback[${i}].userId`, user);
  if (watchEvent !== undefined) requireSameUser(`feedback[${i}]`, watchEvent, user);
  return user;
}

/** A weight above it would be infinite among float32 weights. */
const MAX_FLOAT32 = 3.4028234663852886e38;

function contentOf(i: number, row: PoolFeedback, context: FeedbackContext): Float32Array {
  const { item, contentEmbedding } = row;
  const { features, items } = context;
  if ((item === undefined) === (contentEmbedding === undefined)) {
    fail('ERR_INVALID_ARGUMENT', `feedback[${i}]`, row, 'either item or contentEmbedding');
  }
  if (item === undefined) return vectorOf(i, 'contentEmbedding', contentEmbedding, features);
  const name = `feedback[${i}].item`;
  requireItem(name, item, countItems(name, context));
  return (items as Float32Array).subarray(item * features, (item + 1) * features);
}

/** 0 … 1, and 1 for what is undefined, where something else says what is to be learned. */
function rewardOf(i: number, { reward, targetEmbedding, residual }: PoolFeedback): number {
  if (reward === undefined && (targetEmbedding !== undefined || residual !== undefined)) return 1;
  if (typeof reward === 'number' && reward >= 0 && reward <= 1) return reward;
  return requireArgument(`feedback[${i}].reward`, reward, 0, 1);
}

/** Of the right length; whether it is finite is seen for all rows at once. */
function vectorOf(i: number, field: string, value: unknown, features: number): Float32Array {
  if (value instanceof Float32Array && value.length === features) return value;
  return requireVector(`feedback[${i}].${field}`, value, features);
}

function requireFiniteRows(
  rows: Float32Array,
  field: 'contentEmbedding' | 'targetEmbedding',
  places: Uint32Array | undefined,
  { features, firstNonFinite }: FeedbackContext,
): void {
  const at = firstNonFinite(rows);
  if (at < 0) return;
  const place = Math.floor(at / features);
  const i = places ? places.indexOf(place) : place;
  fail('ERR_NOT_FINITE', `feedback[${i}].${field}[${at % features}]`, rows[at], 'a finite number');
}

function requireLength(name: string, length: number, expected: number): void {
  if (length !== expected) {
    throw new LorakeetError('ERR_LENGTH_MISMATCH', `${name}: got ${length} elements, expected ${expected}`);
  }
}
