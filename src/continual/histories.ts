/** Feedback of many users in time order, and what learning from it online, row by row, would have been like. */
import { type KernelPool, UpdateFlag } from '../kernels/contract.js';

/** User u owns rows rowOffsets[u] … rowOffsets[u+1]−1, the oldest first; everybody has at least one. */
export interface FeedbackHistories {
  /** [users + 1] */
  rowOffsets: Uint32Array;
  /** [rows × inFeatures] */
  x: Float32Array;
  /** [rows × outFeatures] */
  target: Float32Array;
  /** [rows] ≥ 0; default 1 */
  rowWeight?: Float32Array;
}

export const userCountOf = ({ rowOffsets }: FeedbackHistories): number => rowOffsets.length - 1;

/** What the users' adapters got wrong before they learned it. */
export interface PrequentialLoss {
  /** Σw·loss of each row before its step, by user */
  sums: Float64Array;
  /** Σw by user */
  weights: Float64Array;
}

/** Mean over all rows; NaN when some adapter diverged. */
export function meanLoss({ sums, weights }: PrequentialLoss): number {
  return sum(sums) / sum(weights);
}

/**
 * Every user's adapter, in slot number u of `pool`, takes one step on each of its rows in turn. The mean loss before the
 * steps measures how well such adapters learn online: nothing is predicted by an adapter that has seen it ("prequential",
 * Dawid 1984). `learningRateAt(k)` is the step size of an adapter's step number k. Batch k holds everybody's k-th row.
 */
export async function replayHistories(
  pool: KernelPool,
  histories: FeedbackHistories,
  learningRateAt: (step: number) => number,
): Promise<PrequentialLoss> {
  const { rowOffsets, x, target, rowWeight } = histories;
  const { inFeatures, outFeatures } = pool.config;
  const lengthOf = (user: number) => rowOffsets[user + 1] - rowOffsets[user];
  let users = Array.from({ length: userCountOf(histories) }, (_, user) => user);
  const loss: PrequentialLoss = { sums: new Float64Array(users.length), weights: new Float64Array(users.length) };
  for (let step = 0; ; step++) {
    users = users.filter((user) => step < lengthOf(user));
    if (users.length === 0) return loss;
    const rows = users.map((user) => rowOffsets[user] + step);
    const weights = rowWeight && Float32Array.from(rows, (row) => rowWeight[row]);
    const report = await pool.updateAsync({
      slots: Uint32Array.from(users),
      rowOffsets: Uint32Array.from({ length: users.length + 1 }, (_, i) => i),
      x: gatherRows(x, rows, inFeatures),
      target: gatherRows(target, rows, outFeatures),
      ...(weights && { rowWeight: weights }),
      learningRate: new Float32Array(users.length).fill(learningRateAt(step)),
    });
    users.forEach((user, i) => {
      const weight = weights ? weights[i] : 1;
      loss.sums[user] += report.flags[i] & UpdateFlag.REJECTED ? Number.NaN : weight * report.loss[i];
      loss.weights[user] += weight;
    });
  }
}

function gatherRows(data: Float32Array, rows: readonly number[], width: number): Float32Array {
  const gathered = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    gathered.set(data.subarray(row * width, (row + 1) * width), i * width);
  });
  return gathered;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
