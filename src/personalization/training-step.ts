/** One adapter's optimizer step in a kernel pool, off the main thread when it is long. */
import { requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type KernelPool, UpdateFlag, type UpdateReport } from '../kernels/contract.js';

/** Rows of one adapter; x and target [count × features]. */
export interface FeedbackRows {
  count: number;
  x: Float32Array;
  target: Float32Array;
}

/**
 * Multiply-adds above which a step leaves the main thread: some 100 µs of native work, several times what a round trip
 * to another thread costs.
 */
const ASYNC_MULTIPLY_ADDS = 2_500_000;

/** Steps `slot` once on all rows and returns the loss before. Throws ERR_NOT_FINITE, the slot unchanged, on overflow. */
export async function takeStep(
  pool: KernelPool,
  slot: number,
  rows: FeedbackRows,
  learningRate: number,
): Promise<number> {
  const batch = {
    slots: Uint32Array.of(slot),
    rowOffsets: Uint32Array.of(0, rows.count),
    x: rows.x,
    target: rows.target,
    learningRate: Float32Array.of(learningRate),
  };
  let report: UpdateReport = { loss: new Float32Array(1), gradNorm: new Float32Array(1), flags: new Uint8Array(1) };
  if (isLong(pool, rows)) report = await pool.updateAsync(batch);
  else pool.update(batch, report);
  if (report.flags[0] & UpdateFlag.REJECTED) {
    throw new LorakeetError(
      'ERR_NOT_FINITE',
      `feedback: got a loss of ${report.loss[0]} and a gradient of norm ${report.gradNorm[0]}, expected finite numbers`,
    );
  }
  return report.loss[0];
}

/** Mean over rows and features of (y − target)² at the slot's present weights. Throws ERR_NOT_FINITE if it overflows. */
export async function meanLoss(pool: KernelPool, slot: number, rows: FeedbackRows): Promise<number> {
  const batch = { slots: new Uint32Array(rows.count).fill(slot), x: rows.x };
  let y: Float32Array = new Float32Array(rows.target.length);
  if (isLong(pool, rows)) y = await pool.applyAsync(batch);
  else pool.apply(batch, y);
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (y[i] - rows.target[i]) ** 2;
  return requireNumber('loss after the step', sum / y.length, {}, 'ERR_NOT_FINITE');
}

function isLong(pool: KernelPool, rows: FeedbackRows): boolean {
  // forward, and gradients of A and B: 5·rank·dim a row
  return 2.5 * rows.count * pool.layout.parameterCount > ASYNC_MULTIPLY_ADDS;
}
