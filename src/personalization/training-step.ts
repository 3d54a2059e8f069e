/** One adapter's optimizer step in a kernel pool. */
import { LorakeetError } from '../errors.js';
import { type KernelPool, type UpdateBatch, UpdateFlag, type UpdateReport } from '../kernels/contract.js';

/** Rows of one adapter; x and target [count × features]. */
export interface StepRows {
  count: number;
  x: Float32Array;
  target: Float32Array;
}

export interface FeedbackRows extends StepRows {
  /** [count] */
  rewards: Float32Array;
}

/**
 * Multiply-adds above which a step leaves the main thread: some 100 µs of native work, several times what a round trip
 * to another thread costs.
 */
const LONG_MULTIPLY_ADDS = 2_500_000;

export function isLongStep(pool: KernelPool, rows: StepRows): boolean {
  // forward, and gradients of A and B: 5·rank·dim a row
  return 2.5 * rows.count * pool.layout.parameterCount > LONG_MULTIPLY_ADDS;
}

/** What one step may do differently from the pool's configuration. */
export interface StepSettings {
  learningRate: number;
  maxGradNorm: number;
  /** Only for pools with EWC. */
  ewcLambda?: number;
}

/** The synchronous counterpart of pool.updateAsync. */
export function updateNow(pool: KernelPool, batch: UpdateBatch): UpdateReport {
  const users = batch.slots.length;
  const report = { loss: new Float32Array(users), gradNorm: new Float32Array(users), flags: new Uint8Array(users) };
  pool.update(batch, report);
  return report;
}

/** The loss before the only step of `report`. Throws ERR_NOT_FINITE if it was not taken. */
export function lossOf(report: UpdateReport): number {
  const [loss, gradNorm] = [report.loss[0], report.gradNorm[0]];
  if (report.flags[0] & UpdateFlag.REJECTED) {
    const got = `a loss of ${loss} and a gradient of norm ${gradNorm}`;
    throw new LorakeetError(
      'ERR_NOT_FINITE',
      `feedback: got ${got}, expected finite numbers before and after the step`,
    );
  }
  return loss;
}

/** Mean over all elements of (y − target)². */
export function meanSquaredError(y: Float32Array, target: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (y[i] - target[i]) ** 2;
  return sum / y.length;
}
