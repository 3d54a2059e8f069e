/** Rows of many calls → the one batch that the pool learns. */
import type { Rows } from '../../kernels/contract.js';
import type { GroupedFeedback } from '../grouped-feedback.js';
import type { RowMemory } from '../row-memory.js';
import type { ServedUser, UserRows } from './served-user.js';

/** A user's part of a micro-batch: one operation, or several that become one step. */
export interface Share {
  user: ServedUser;
  operations: UserRows[];
}

/** Whether rows and targets are vectors or item numbers; only rows of one form fit into one batch. */
export function formOf({ call }: UserRows): string {
  const { x, target } = call.feedback;
  return `${x instanceof Uint32Array} ${target instanceof Uint32Array}`;
}

/** The shares (at least one, all of one form) as feedback of their users, in this order; `memory` lends the space. */
export function mergeShares(shares: readonly Share[], features: number, memory: RowMemory): GroupedFeedback {
  const rowOffsets = new Uint32Array(shares.length + 1);
  const { x: firstX, target: firstTarget, rewards: firstRewards } = shares[0].operations[0].call.feedback;
  let weighted = false;
  shares.forEach(({ operations }, i) => {
    let rows = 0;
    for (const operation of operations) {
      rows += operation.rows;
      weighted ||= operation.call.feedback.rowWeight !== undefined;
    }
    rowOffsets[i + 1] = rowOffsets[i] + rows;
  });
  const count = rowOffsets[shares.length];
  const length = (rows: Rows) => (rows instanceof Float32Array ? count * features : 0);
  const lent = memory.take(length(firstX) + length(firstTarget));
  const x = firstX instanceof Float32Array ? lent.subarray(0, count * features) : new Uint32Array(count);
  const target = firstTarget instanceof Float32Array ? lent.subarray(length(firstX)) : new Uint32Array(count);
  const rowWeight = weighted ? new Float32Array(count).fill(1) : undefined;
  // a matter of the pool's policy: all have them or none
  const rewards = firstRewards && new Float32Array(count);

  let row = 0;
  for (const { operations } of shares) {
    for (const { call, index, rows } of operations) {
      const { feedback } = call;
      const first = feedback.rowOffsets[index];
      const part = (values: Float32Array) => values.subarray(first, first + rows);
      copyRows(feedback.x, first, rows, x, row, features);
      copyRows(feedback.target, first, rows, target, row, features);
      if (rowWeight && feedback.rowWeight) rowWeight.set(part(feedback.rowWeight), row);
      if (rewards && feedback.rewards) rewards.set(part(feedback.rewards), row);
      row += rows;
    }
  }
  const userIds = shares.map(({ user }) => user.id);
  return { userIds, rowOffsets, x, target, ...(rowWeight && { rowWeight }), ...(rewards && { rewards }), memory: lent };
}

/** Numbers up to which a loop is faster than a view and set(). */
const SHORT = 256;

function copyRows(from: Rows, first: number, rows: number, to: Rows, at: number, features: number): void {
  const width = from instanceof Float32Array ? features : 1;
  const [begin, end, start] = [first * width, (first + rows) * width, at * width];
  if (end - begin > SHORT) to.set(from.subarray(begin, end), start);
  else for (let i = begin; i < end; i++) to[start + i - begin] = from[i];
}
