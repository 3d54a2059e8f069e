/** Feedback of many users in either public form → checked, copied, and grouped by user as the kernels want it (CSR). */
import { fail, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { Rows } from '../kernels/contract.js';
import { requireArgument, requireSameUser, requireUserId, writeRewardTarget } from './feedback.js';
import type { FeedbackBatch, PoolFeedback } from './types.js';

/** Users in the order in which they first appear, each one's rows in the order in which they came. */
export interface GroupedFeedback {
  /** [users], distinct */
  userIds: string[];
  /** [users + 1] */
  rowOffsets: Uint32Array;
  x: Rows;
  target: Rows;
  rowWeight?: Float32Array;
}

/** The table that item numbers refer to, [items × features]. */
export interface ItemTable {
  matrix: Float32Array | null;
  features: number;
}

/**
 * Throws ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, ERR_OUT_OF_RANGE, ERR_NO_ITEMS or
 * ERR_ITEM_OUT_OF_RANGE naming the row.
 */
export function groupFeedback(feedback: readonly PoolFeedback[] | FeedbackBatch, items: ItemTable): GroupedFeedback {
  const batch = Array.isArray(feedback) ? toColumns(feedback, items) : requireBatch(feedback as FeedbackBatch, items);
  const { userIds, rowOffsets, order } = groupByUser(batch.userIds);
  return {
    userIds,
    rowOffsets,
    x: reorder(batch.content, order),
    target: reorder(batch.target, order),
    ...(batch.weight && { rowWeight: reorder(batch.weight, order) }),
  };
}

function groupByUser(userIds: readonly string[]) {
  const groupOf = new Map<string, number>();
  const counts: number[] = [];
  const groups = Uint32Array.from(userIds, (userId) => {
    let group = groupOf.get(userId);
    if (group === undefined) {
      group = groupOf.size;
      groupOf.set(userId, group);
      counts.push(0);
    }
    counts[group] += 1;
    return group;
  });
  const rowOffsets = new Uint32Array(counts.length + 1);
  counts.forEach((count, group) => {
    rowOffsets[group + 1] = rowOffsets[group] + count;
  });
  const next = rowOffsets.slice();
  const order = new Uint32Array(groups.length);
  groups.forEach((group, row) => {
    order[next[group]++] = row;
  });
  return { userIds: [...groupOf.keys()], rowOffsets, order };
}

/** A copy of `rows` with row order[i] at place i; a row is as wide as the lengths say. */
function reorder<T extends Rows>(rows: T, order: Uint32Array): T {
  const copy = rows.slice() as T;
  const width = rows.length / order.length;
  for (let i = 0; i < order.length; i++) {
    if (order[i] === i) continue;
    const [from, to] = [order[i] * width, i * width];
    // rows are short: a loop is faster than a view and set()
    for (let j = 0; j < width; j++) copy[to + j] = rows[from + j];
  }
  return copy;
}

function requireBatch(batch: FeedbackBatch, items: ItemTable): FeedbackBatch {
  if (typeof batch !== 'object' || batch === null) {
    fail('ERR_INVALID_ARGUMENT', 'feedback', batch, 'an array of PoolFeedback or a FeedbackBatch');
  }
  const { userIds, content, target, weight } = batch;
  if (!Array.isArray(userIds)) fail('ERR_INVALID_ARGUMENT', 'feedback.userIds', userIds, 'an array of strings');
  const count = requireUserIds('feedback.userIds', userIds);
  requireRows('feedback.content', content, count, items);
  requireRows('feedback.target', target, count, items);
  if (weight !== undefined) requireWeights('feedback.weight', weight, count);
  return batch;
}

/** Returns their number. */
export function requireUserIds(name: string, userIds: readonly string[]): number {
  for (let i = 0; i < userIds.length; i++) {
    // the name is built only when needed: this runs for every row
    if (typeof userIds[i] !== 'string' || userIds[i] === '') requireUserId(`${name}[${i}]`, userIds[i]);
  }
  return userIds.length;
}

function requireRows(name: string, rows: unknown, count: number, items: ItemTable): void {
  if (rows instanceof Uint32Array) {
    requireLength(name, rows.length, count);
    const itemCount = countItems(name, items);
    const beyond = rows.findIndex((item) => item >= itemCount);
    if (beyond >= 0) requireItem(`${name}[${beyond}]`, rows[beyond], itemCount);
  } else {
    requireVector(name, rows, count * items.features);
  }
}

function requireWeights(name: string, weights: unknown, count: number): void {
  const checked = requireVector(name, weights, count);
  const negative = checked.findIndex((weight) => weight < 0);
  if (negative >= 0) fail('ERR_OUT_OF_RANGE', `${name}[${negative}]`, checked[negative], 'a number that is at least 0');
}

function countItems(name: string, { matrix, features }: ItemTable): number {
  if (matrix === null)
    throw new LorakeetError('ERR_NO_ITEMS', `${name}: got item numbers, expected a pool with \`items\``);
  return matrix.length / features;
}

function requireItem(name: string, item: number, itemCount: number): void {
  if (!Number.isInteger(item) || item < 0 || item >= itemCount) {
    fail('ERR_ITEM_OUT_OF_RANGE', name, item, `a row of the item table, 0 to ${itemCount - 1}`);
  }
}

/** Rows by item number stay numbers when all are; otherwise all become vectors. */
function toColumns(feedback: readonly PoolFeedback[], items: ItemTable): FeedbackBatch {
  const { features } = items;
  const count = feedback.length;
  const userIds: string[] = [];
  const content = new Float32Array(count * features);
  const target = new Float32Array(count * features);
  const numbers = new Uint32Array(count);
  const weight = new Float32Array(count).fill(1);
  let allItems = true;
  for (let i = 0; i < count; i++) {
    const row = feedback[i];
    const name = `feedback[${i}]`;
    if (typeof row !== 'object' || row === null) fail('ERR_INVALID_ARGUMENT', name, row, 'a PoolFeedback');
    userIds.push(userOf(name, row));
    const vector = contentOf(name, row, items);
    content.set(vector, i * features);
    if (row.item === undefined) allItems = false;
    else numbers[i] = row.item;
    if (row.weight !== undefined) weight[i] = requireArgument(`${name}.weight`, row.weight, 0, MAX_FLOAT32);
    if (row.reward !== undefined || row.targetEmbedding === undefined)
      requireArgument(`${name}.reward`, row.reward, 0, 1);
    if (row.targetEmbedding === undefined) writeRewardTarget(vector, row.reward as number, target, i * features);
    else target.set(requireVector(`${name}.targetEmbedding`, row.targetEmbedding, features), i * features);
  }
  return { userIds, content: allItems ? numbers : content, target, weight };
}

function userOf(name: string, { userId, watchEvent }: PoolFeedback): string {
  const user = requireUserId(`${name}.userId`, userId ?? watchEvent?.userId);
  requireSameUser(name, watchEvent, user);
  return user;
}

/** A weight above it would be infinite among float32 weights. */
const MAX_FLOAT32 = 3.4028234663852886e38;

function contentOf(name: string, row: PoolFeedback, items: ItemTable): Float32Array {
  const { item, contentEmbedding } = row;
  if ((item === undefined) === (contentEmbedding === undefined)) {
    fail('ERR_INVALID_ARGUMENT', name, row, 'either item or contentEmbedding');
  }
  if (item === undefined) return requireVector(`${name}.contentEmbedding`, contentEmbedding, items.features);
  requireItem(`${name}.item`, item, countItems(`${name}.item`, items));
  return (items.matrix as Float32Array).subarray(item * items.features, (item + 1) * items.features);
}

function requireLength(name: string, length: number, expected: number): void {
  if (length !== expected) {
    throw new LorakeetError('ERR_LENGTH_MISMATCH', `${name}: got ${length} elements, expected ${expected}`);
  }
}
