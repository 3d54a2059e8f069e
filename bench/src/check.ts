/**
 * Nothing is timed that has not first been checked: a kernel that computes the wrong thing can be as fast as it likes.
 * The timing code takes only a CheckedPool, and only this file makes one.
 */
import type { KernelPool, UpdateBatch } from '#lorakeet/kernels/contract.js';
import { BUDGETS } from '#lorakeet/testing/budgets.js';
import { checkUpdate, randomBatch, rowVector } from '#lorakeet/testing/fixtures.js';
import { assertWithin, readStates } from '#lorakeet/testing/harness.js';
import { oracleForward, oracleState } from '#lorakeet/testing/oracle.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { makeWorkload } from '#lorakeet/testing/workloads.js';

/** A pool whose apply and update agreed with the oracle, for `rows` rows per user. */
export class CheckedPool {
  private constructor(
    readonly kernel: KernelPool,
    readonly rows: number,
  ) {}

  /**
   * One apply and one update of two users, `rows` rows each, against the double-precision oracle of the conformance
   * suite and within its budgets. The pool is left as it was. Throws an Error that begins with `name`.
   */
  static check(name: string, kernel: KernelPool, rows: number): CheckedPool {
    const { batch, rowSlots } = checkBatch(kernel, rows);
    const before = readStates(kernel, batch.slots);
    try {
      checkApply(kernel, batch, rowSlots);
      checkUpdate(kernel, batch);
    } catch (cause) {
      throw new Error(`${name}: refuses to time a kernel that is wrong: ${(cause as Error).message}`, { cause });
    } finally {
      kernel.write(batch.slots, before.slabs, before.steps);
    }
    return new CheckedPool(kernel, rows);
  }
}

/** The batch of a check, the same whenever it is made, and the slot of each of its rows. */
export function checkBatch(kernel: KernelPool, rows: number): { batch: UpdateBatch; rowSlots: Uint32Array } {
  const { config } = kernel;
  const users = Math.min(2, config.capacity);
  const workload = makeWorkload('distinct', { users, rows: users * rows, capacity: config.capacity, seed: rows });
  const batch = { ...randomBatch(config, workload, new SeededRandom(rows)), ...stepThatMoves(kernel, users) };
  return { batch, rowSlots: workload.rowSlots };
}

/** Parameters by which one step changes the weights by about their own size, so that rounding cannot hide an error. */
function stepThatMoves({ config }: KernelPool, users: number): Partial<UpdateBatch> {
  const sgd = config.optimizer.kind === 'sgd';
  return {
    learningRate: new Float32Array(users).fill(sgd ? config.outFeatures / 4 : 0.05),
    ewcLambda: new Float32Array(users).fill(sgd ? 4 / config.outFeatures : 20),
  };
}

function checkApply(kernel: KernelPool, { slots, x }: UpdateBatch, rowSlots: Uint32Array): void {
  const { config, layout } = kernel;
  const y = new Float32Array(rowSlots.length * config.outFeatures);
  kernel.apply({ slots: rowSlots, x }, y);
  const { slabs, steps } = readStates(kernel, slots);
  const states = Array.from(slots, (_, user) => oracleState(layout, slabs, steps[user], user));
  for (let row = 0; row < rowSlots.length; row++) {
    const { weights } = states[slots.indexOf(rowSlots[row])];
    const want = oracleForward(config, weights, rowVector(x, config.inFeatures, row));
    assertWithin(`y of row ${row}`, rowVector(y, config.outFeatures, row), want, BUDGETS.apply);
  }
}
