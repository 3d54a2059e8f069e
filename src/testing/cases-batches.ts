/** Batches that are hard for a kernel's scheduling, and rows given as ids instead of vectors. */
import type { KernelPool, PoolConfig } from '../kernels/contract.js';
import { BUDGETS } from './budgets.js';
import { checkUpdate, fillSlots, randomBatch, rowVector } from './fixtures.js';
import {
  ADAMW,
  assertSameBits,
  assertSameReports,
  assertSameStates,
  assertThrows,
  assertWithin,
  type ConformanceCase,
  newReport,
  range,
  readStates,
  runUpdate,
  type SuiteContext,
  withPool,
} from './harness.js';
import { oracleForward, oracleState } from './oracle.js';
import { SeededRandom } from './random.js';
import { makeWorkload, WORKLOAD_KINDS, type Workload, type WorkloadKind } from './workloads.js';

const CONFIG: Partial<PoolConfig> = {
  rank: 4,
  inFeatures: 24,
  outFeatures: 24,
  residual: true,
  capacity: 500,
  threads: 2,
  optimizer: ADAMW,
  ewc: { form: 'proximal', lambda: 10 },
  learningRate: 0.05,
  maxGradNorm: 0.4,
};

export function batchCases(context: SuiteContext): ConformanceCase[] {
  const rows = context.quick ? 120 : 600;
  const workload = (kind: WorkloadKind): Workload => {
    const manyRows = context.quick ? 500 : 5000;
    return makeWorkload(kind, { users: 60, rows: kind === 'one-user' ? manyRows : rows, capacity: 500, seed: 11 });
  };
  const on = (name: string, body: (pool: KernelPool) => void): ConformanceCase => ({
    name: `batches: ${name}`,
    run: () => withPool(context, CONFIG, body),
  });
  const updatable = WORKLOAD_KINDS.filter((kind) => kind !== 'identical');
  return [
    ...WORKLOAD_KINDS.map((kind) => on(`apply, ${kind}`, (pool) => checkApply(pool, workload(kind)))),
    ...updatable.map((kind) =>
      on(`update, ${kind}`, (pool) => {
        const random = new SeededRandom(12);
        fillSlots(pool, workload(kind).slots, random);
        checkUpdate(pool, randomBatch(pool.config, workload(kind), random));
      }),
    ),
    on('update and consolidate refuse identical users', (pool) => checkIdentical(pool, workload('identical'))),
    on('no rows at all are no work', checkEmpty),
    on('ids give the bits of the vectors they name', (pool) => checkIds(pool, workload('zipf'))),
    on('rows that start anywhere in memory', (pool) => checkUnaligned(pool, workload('skewed'))),
  ];
}

/** The rows of the users in random order, so that a user's rows do not stand together. */
function checkApply(pool: KernelPool, { slots, rowSlots }: Workload): void {
  const { config, layout } = pool;
  const random = new SeededRandom(13);
  const users = slots.filter((slot, index) => slots.indexOf(slot) === index);
  fillSlots(pool, users, random);
  const order = random.distinct(rowSlots.length, rowSlots.length);
  const shuffled = rowSlots.map((_, i) => rowSlots[order[i]]);
  const x = random.normals(shuffled.length * config.inFeatures);
  const y = new Float32Array(shuffled.length * config.outFeatures);
  pool.apply({ slots: shuffled, x }, y);
  const { slabs } = readStates(pool, users);
  const weights = Array.from(users, (_, index) => oracleState(layout, slabs, 0, index).weights);
  const want = new Float64Array(y.length);
  shuffled.forEach((slot, row) => {
    const vector = rowVector(x, config.inFeatures, row);
    want.set(oracleForward(config, weights[users.indexOf(slot)], vector), row * config.outFeatures);
  });
  assertWithin('y', y, want, BUDGETS.apply);
}

function checkIdentical(pool: KernelPool, workload: Workload): void {
  const random = new SeededRandom(14);
  const slot = workload.slots.slice(0, 1);
  fillSlots(pool, slot, random);
  const before = readStates(pool, slot);
  const batch = randomBatch(pool.config, workload, random);
  assertThrows('update', 'ERR_DUPLICATE_SLOT', () => pool.update(batch, newReport(batch.slots.length)));
  assertThrows('consolidate', 'ERR_DUPLICATE_SLOT', () => pool.consolidate({ ...batch, decay: 1 }));
  assertSameStates('the refused slot', readStates(pool, slot), before);
}

function checkEmpty(pool: KernelPool): void {
  const none = new Uint32Array(0);
  const rows = { slots: none, rowOffsets: new Uint32Array(1), x: new Float32Array(0) };
  pool.apply(rows, new Float32Array(0));
  pool.update({ ...rows, target: new Float32Array(0) }, newReport(0));
  pool.consolidate({ ...rows, decay: 0 });
  pool.write(none, new Float32Array(0), none);
  pool.read(none, new Float32Array(0), none);
  pool.copy(none, none);
  pool.clear(none);
}

function checkIds(pool: KernelPool, workload: Workload): void {
  const { inFeatures, outFeatures } = pool.config;
  const random = new SeededRandom(15);
  const items = random.normals(70 * inFeatures);
  const rows = workload.rowSlots.length;
  const xIds = random.integers(rows, 0, 69);
  const targetIds = random.integers(rows, 0, 69);
  const lookUp = (ids: Uint32Array): Float32Array => {
    const vectors = new Float32Array(ids.length * inFeatures);
    ids.forEach((id, row) => {
      vectors.set(rowVector(items, inFeatures, id), row * inFeatures);
    });
    return vectors;
  };
  pool.bindItems(items);
  fillSlots(pool, workload.slots, random);
  const start = readStates(pool, workload.slots);

  const [y, yIds] = [new Float32Array(rows * outFeatures), new Float32Array(rows * outFeatures)];
  pool.apply({ slots: workload.rowSlots, x: lookUp(xIds) }, y);
  pool.apply({ slots: workload.rowSlots, x: xIds }, yIds);
  assertSameBits('y', yIds, y);

  const { slots, rowOffsets } = workload;
  const vectors = { slots, rowOffsets, x: lookUp(xIds), target: lookUp(targetIds) };
  const learn = (
    batch: typeof vectors | { slots: Uint32Array; rowOffsets: Uint32Array; x: Uint32Array; target: Uint32Array },
  ) => {
    pool.write(slots, start.slabs, start.steps);
    const report = runUpdate(pool, batch);
    pool.consolidate({ slots, rowOffsets, x: batch.x, decay: 0.5 });
    return { report, states: readStates(pool, slots) };
  };
  const byVector = learn(vectors);
  const byId = learn({ slots, rowOffsets, x: xIds, target: targetIds });
  assertSameReports('report', byId.report, byVector.report);
  assertSameStates('slots', byId.states, byVector.states);

  const mixed = { ...vectors, x: xIds };
  pool.write(slots, start.slabs, start.steps);
  assertSameReports('ids for x only', runUpdate(pool, mixed), byVector.report);
}

/** The same rows from views that begin one element into a buffer. */
function checkUnaligned(pool: KernelPool, workload: Workload): void {
  const random = new SeededRandom(16);
  fillSlots(pool, range(pool.config.capacity), random);
  const start = readStates(pool, workload.slots);
  const batch = randomBatch(pool.config, workload, random);
  const shifted = <T extends Float32Array | Uint32Array>(values: T): T => {
    const Type = values.constructor as new (length: number) => T;
    const view = new Type(values.length + 1).subarray(1) as T;
    view.set(values);
    return view;
  };
  const report = runUpdate(pool, batch);
  const after = readStates(pool, workload.slots);
  const y = new Float32Array(batch.x.length);
  pool.apply({ slots: workload.rowSlots, x: batch.x }, y);

  pool.write(shifted(workload.slots), shifted(start.slabs), shifted(start.steps));
  const { slots, rowOffsets, x, target } = batch;
  const again = runUpdate(pool, {
    slots: shifted(slots),
    rowOffsets: shifted(rowOffsets),
    x: shifted(x as Float32Array),
    target: shifted(target as Float32Array),
  });
  assertSameReports('report', again, report);
  assertSameStates('slots', readStates(pool, workload.slots), after);
  const yAgain = shifted(y);
  pool.apply({ slots: workload.rowSlots, x: shifted(x as Float32Array) }, yAgain.fill(0));
  assertSameBits('y', yAgain, y);
}
