/** The asynchronous forms: the bits of the synchronous ones, one at a time, in the order in which they were made. */
import assert from 'node:assert/strict';
import type { KernelPool, PoolConfig, Rows, UpdateBatch } from '../kernels/contract.js';
import { fillSlots, randomBatch } from './fixtures.js';
import {
  ADAMW,
  assertRejects,
  assertSameBits,
  assertSameReports,
  assertSameStates,
  type ConformanceCase,
  range,
  readStates,
  runUpdate,
  type SlotStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { SeededRandom } from './random.js';
import { makeWorkload } from './workloads.js';

const CAPACITY = 40;
const SLOTS = range(CAPACITY);
const CONFIG: Partial<PoolConfig> = {
  rank: 4,
  inFeatures: 32,
  outFeatures: 32,
  residual: true,
  capacity: CAPACITY,
  threads: 2,
  optimizer: ADAMW,
  ewc: { form: 'proximal', lambda: 10 },
  learningRate: 0.05,
};

export function asyncCases(context: SuiteContext): ConformanceCase[] {
  const on = (name: string, body: (pool: KernelPool) => Promise<void>): ConformanceCase => ({
    name: `async: ${name}`,
    run: () =>
      withPool(context, CONFIG, (pool) => {
        fillSlots(pool, SLOTS, new SeededRandom(20));
        return body(pool);
      }),
  });
  return [
    on('the same bits as the synchronous forms', (pool) => checkSameBits(pool, (rows) => rows)),
    on('the same bits from rows in shared memory', (pool) => checkSameBits(pool, shared)),
    on('many calls without waiting run in order', checkOrder),
    on('a synchronous call between them sees whole calls only', checkBetween),
    on('a failed call leaves those behind it alone', checkFailure),
    on('results of earlier calls stay as they are', checkResultsKept),
    on('pools run side by side', () => checkSideBySide(context)),
    on('closing with calls under way', checkClose),
  ];
}

function updateBatches(pool: KernelPool, count: number): UpdateBatch[] {
  return Array.from({ length: count }, (_, index) => {
    const workload = makeWorkload('zipf', { users: 20, rows: 60, capacity: CAPACITY, seed: index });
    return randomBatch(pool.config, workload, new SeededRandom(30 + index));
  });
}

/** The states after 0, 1, 2, … of the batches, made synchronously; the pool is left as it was. */
function statesAfterEach(pool: KernelPool, batches: UpdateBatch[]): SlotStates[] {
  const start = readStates(pool, SLOTS);
  const states = [start];
  for (const batch of batches) {
    runUpdate(pool, batch);
    states.push(readStates(pool, SLOTS));
  }
  pool.write(SLOTS, start.slabs, start.steps);
  return states;
}

function shared(rows: Rows): Rows {
  const memory = new SharedArrayBuffer(rows.byteLength);
  const copy = rows instanceof Float32Array ? new Float32Array(memory) : new Uint32Array(memory);
  copy.set(rows);
  return copy;
}

async function checkSameBits(pool: KernelPool, place: (rows: Rows) => Rows): Promise<void> {
  const [drawn] = updateBatches(pool, 1);
  const batch = { ...drawn, x: place(drawn.x), target: place(drawn.target) };
  const start = readStates(pool, SLOTS);
  const consolidation = { slots: batch.slots, rowOffsets: batch.rowOffsets, x: batch.x, decay: 0.5 };
  const application = { slots: new Uint32Array(60).map((_, row) => row % CAPACITY), x: batch.x };

  const report = runUpdate(pool, batch);
  pool.consolidate(consolidation);
  const y = new Float32Array(60 * pool.config.outFeatures);
  pool.apply(application, y);
  const after = readStates(pool, SLOTS);

  pool.write(SLOTS, start.slabs, start.steps);
  assertSameReports('report', await pool.updateAsync(batch), report);
  assert.equal(await pool.consolidateAsync(consolidation), undefined);
  assertSameBits('y', await pool.applyAsync(application), y);
  assertSameStates('slots', readStates(pool, SLOTS), after);
}

async function checkOrder(pool: KernelPool): Promise<void> {
  const batches = updateBatches(pool, 20);
  const states = statesAfterEach(pool, batches);
  const settled: number[] = [];
  const reports = await Promise.all(
    batches.map((batch, index) =>
      pool.updateAsync(batch).then((report) => {
        settled.push(index);
        return report;
      }),
    ),
  );
  assertSameStates('slots after all', readStates(pool, SLOTS), states[batches.length]);
  assert.deepEqual(settled, [...batches.keys()], 'the order in which the promises settled');

  pool.write(SLOTS, states[0].slabs, states[0].steps);
  batches.forEach((batch, index) => {
    assertSameReports(`report ${index}`, reports[index], runUpdate(pool, batch));
  });
}

async function checkBetween(pool: KernelPool): Promise<void> {
  const batches = updateBatches(pool, 8);
  const states = statesAfterEach(pool, batches);
  const pending = batches.map((batch) => pool.updateAsync(batch));
  const seen = readStates(pool, SLOTS);
  await Promise.all(pending);
  const bits = (state: SlotStates): Buffer => Buffer.from(state.slabs.buffer);
  const known = states.some((state) => bits(state).equals(bits(seen)));
  assert.ok(known, 'what a read saw between calls is no state that lies between two calls');
  assertSameStates('slots after all', readStates(pool, SLOTS), states[batches.length]);
}

async function checkFailure(pool: KernelPool): Promise<void> {
  const batches = updateBatches(pool, 3);
  const states = statesAfterEach(pool, batches);
  const bad = { ...batches[0], slots: new Uint32Array(batches[0].slots.length) };
  const pending = [pool.updateAsync(batches[0])];
  const refused = assertRejects('a duplicate slot', 'ERR_DUPLICATE_SLOT', () => pool.updateAsync(bad));
  pending.push(pool.updateAsync(batches[1]), pool.updateAsync(batches[2]));
  await Promise.all([...pending, refused]);
  assertSameStates('slots', readStates(pool, SLOTS), states[3]);
}

async function checkResultsKept(pool: KernelPool): Promise<void> {
  const batches = updateBatches(pool, 2);
  const first = await pool.updateAsync(batches[0]);
  const copy = { loss: first.loss.slice(), gradNorm: first.gradNorm.slice(), flags: first.flags.slice() };
  await pool.updateAsync(batches[1]);
  await pool.updateAsync(batches[0]);
  assertSameReports('the first report', first, copy);
}

async function checkSideBySide(context: SuiteContext): Promise<void> {
  await withPool(context, CONFIG, async (one) => {
    await withPool(context, CONFIG, async (two) => {
      fillSlots(one, SLOTS, new SeededRandom(21));
      fillSlots(two, SLOTS, new SeededRandom(22));
      const batches = updateBatches(one, 6);
      const [statesOne, statesTwo] = [statesAfterEach(one, batches), statesAfterEach(two, batches)];
      await Promise.all(batches.flatMap((batch) => [one.updateAsync(batch), two.updateAsync(batch)]));
      assertSameStates('one pool', readStates(one, SLOTS), statesOne[6]);
      assertSameStates('the other', readStates(two, SLOTS), statesTwo[6]);
    });
  });
}

/** Calls made before close either finish or say that the pool is closed; calls made after it always say so. */
async function checkClose(pool: KernelPool): Promise<void> {
  const pending = updateBatches(pool, 4).map((batch) => pool.updateAsync(batch));
  pool.close();
  pool.close();
  for (const result of await Promise.allSettled(pending)) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'ERR_POOL_CLOSED');
    else assert.equal(result.value.loss.length, 20);
  }
  const x = new Float32Array(pool.config.inFeatures);
  await assertRejects('applyAsync', 'ERR_POOL_CLOSED', () => pool.applyAsync({ slots: uints(0), x }));
}
