/**
 * Batches that are hard in different ways, shared by the conformance suite and the benches.
 *
 * - distinct:  every user has the same number of rows (one, if rows = users)
 * - zipf:      the i-th user's share is proportional to 1/i, at least one row each
 * - skewed:    one user has all rows but one of every other user
 * - one-user:  a single user has all rows
 * - identical: the same user stands `rows` times with a row each; apply takes it, update must refuse it
 */
import { SeededRandom } from './random.js';

export const WORKLOAD_KINDS = ['distinct', 'zipf', 'skewed', 'one-user', 'identical'] as const;
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number];

export interface WorkloadSize {
  /** Users in the batch (ignored by one-user and identical). */
  users: number;
  /** Rows in the batch, at least `users`. */
  rows: number;
  /** Slots are drawn from 0 … capacity−1, scattered; at least `users`. */
  capacity: number;
  seed: number;
}

export interface Workload {
  kind: WorkloadKind;
  /** [users] for update and consolidate */
  slots: Uint32Array;
  /** [users + 1] */
  rowOffsets: Uint32Array;
  /** [rows] for apply: the slot of every row */
  rowSlots: Uint32Array;
}

export function makeWorkload(kind: WorkloadKind, size: WorkloadSize): Workload {
  const random = new SeededRandom(size.seed);
  const counts = rowCounts(kind, size.users, size.rows);
  const slots =
    kind === 'identical'
      ? new Uint32Array(counts.length).fill(random.integer(0, size.capacity - 1))
      : random.distinct(counts.length, size.capacity);
  const rowOffsets = new Uint32Array(counts.length + 1);
  counts.forEach((count, user) => {
    rowOffsets[user + 1] = rowOffsets[user] + count;
  });
  const rowSlots = new Uint32Array(rowOffsets[counts.length]);
  slots.forEach((slot, user) => {
    rowSlots.fill(slot, rowOffsets[user], rowOffsets[user + 1]);
  });
  return { kind, slots, rowOffsets, rowSlots };
}

/** Rows of each user. */
function rowCounts(kind: WorkloadKind, users: number, rows: number): number[] {
  if (kind === 'one-user') return [rows];
  if (kind === 'identical') return new Array(rows).fill(1);
  if (kind === 'skewed') return shares(users, rows, (user) => (user === users >> 1 ? 1 : 0));
  if (kind === 'zipf') return shares(users, rows, (user) => 1 / (user + 1));
  return shares(users, rows, () => 1);
}

/** One row each, and the rest by share; what rounding leaves over goes to the first users. */
function shares(users: number, rows: number, share: (user: number) => number): number[] {
  const weights = Array.from({ length: users }, (_, user) => share(user));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const counts = weights.map((weight) => 1 + Math.floor(((rows - users) * weight) / total));
  const rest = rows - counts.reduce((sum, count) => sum + count, 0);
  for (let user = 0; user < rest; user++) counts[user % users] += 1;
  return counts;
}
