/** A peer is held to what our kernels are held to: the same users, rows and budgets, in CheckedPool. */
import { jsBackend } from '#lorakeet/kernels/js.js';
import { fillSlots, oracleParameters } from '#lorakeet/testing/fixtures.js';
import { readStates } from '#lorakeet/testing/harness.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { CheckedPool, checkBatch } from '../check.js';
import type { Shape } from '../model.js';
import { benchConfig } from '../population.js';
import type { PeerProgram } from './peer-process.js';

const USERS = 2;

/** Throws an Error when the peer's apply or update (SGD) of `rows` rows per user is wrong. */
export async function checkPeer(program: PeerProgram, peer: string, shape: Shape, rows: number): Promise<void> {
  const pool = jsBackend.createPool(benchConfig(shape, 'sgd', USERS));
  try {
    fillSlots(pool, Uint32Array.of(0, 1), new SeededRandom(1));
    const { batch } = checkBatch(pool, rows);
    const before = readStates(pool, batch.slots);
    const parameters = Array.from(batch.slots, (_, user) => oracleParameters(pool.config, batch, user));
    const steps = parameters.flatMap(({ learningRate, maxGradNorm, ewcLambda }) => [
      learningRate,
      maxGradNorm,
      ewcLambda,
    ]);
    const data = [Float32Array.from(steps), before.slabs, batch.x as Float32Array, batch.target as Float32Array];
    const applied = await program.check(peer, { ...shape, operation: 'apply', users: USERS, rows }, data);
    const updated = await program.check(peer, { ...shape, operation: 'update', users: USERS, rows }, data);

    // the pool gives the peer's answers as its own
    pool.apply = (_, y) => y.set(expectLength(applied, y.length));
    pool.update = ({ slots }, report) => {
      const size = before.slabs.length;
      expectLength(updated, size + 3 * USERS);
      pool.write(
        slots,
        updated.slice(0, size),
        before.steps.map((step) => step + 1),
      );
      report.loss.set(updated.subarray(size, size + USERS));
      report.gradNorm.set(updated.subarray(size + USERS, size + 2 * USERS));
      report.flags.set(updated.subarray(size + 2 * USERS));
    };
    CheckedPool.check(`${peer}, ${shape.dim}/${shape.rank}, n = ${rows}`, pool, rows);
  } finally {
    pool.close();
  }
}

function expectLength(values: Float32Array, length: number): Float32Array {
  if (values.length !== length) throw new Error(`got ${values.length} numbers, expected ${length}`);
  return values;
}
