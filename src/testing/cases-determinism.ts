/** On one backend a result depends only on the slot's own state and rows: these compare bits, never with a tolerance. */
import type { KernelPool, PoolConfig, UpdateBatch, UpdateReport } from '../kernels/contract.js';
import { fillSlots, randomBatch, rowVector, type Shape, shapeName } from './fixtures.js';
import {
  ADAMW,
  assertSameBits,
  assertSameReports,
  assertSameStates,
  type ConformanceCase,
  poolConfig,
  range,
  readStates,
  runUpdate,
  SGD,
  type SlotStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { SeededRandom } from './random.js';
import { makeWorkload, type Workload, type WorkloadKind } from './workloads.js';

const CAPACITY = 64;
const SHAPES: readonly Shape[] = [
  { rank: 4, inFeatures: 64, outFeatures: 64 },
  { rank: 5, inFeatures: 37, outFeatures: 37 },
  { rank: 8, inFeatures: 130, outFeatures: 130 },
];
const OPTIMIZERS: Record<string, Partial<PoolConfig>> = {
  'SGD, EWC gradient': { optimizer: SGD, ewc: { form: 'gradient', lambda: 0.02 }, maxGradNorm: 0.4 },
  'AdamW, proximal EWC': { optimizer: ADAMW, ewc: { form: 'proximal', lambda: 10 }, learningRate: 0.05 },
  'SGD, proximal EWC in bf16': { optimizer: SGD, ewc: { form: 'proximal', lambda: 10 }, stateDtype: 'bf16' },
};

/** What a pool makes of a batch: two updates, a consolidation, and an apply of the same rows. */
interface Outcome {
  reports: UpdateReport[];
  states: SlotStates;
  y: Float32Array;
}

function learn(pool: KernelPool, batch: UpdateBatch, rowSlots: Uint32Array): Outcome {
  const reports = [runUpdate(pool, batch), runUpdate(pool, batch)];
  pool.consolidate({ slots: batch.slots, rowOffsets: batch.rowOffsets, x: batch.x, decay: 0.5 });
  const y = new Float32Array(rowSlots.length * pool.config.outFeatures);
  pool.apply({ slots: rowSlots, x: batch.x }, y);
  return { reports, states: readStates(pool, batch.slots), y };
}

function assertSameOutcome(what: string, got: Outcome, want: Outcome): void {
  got.reports.forEach((report, index) => {
    assertSameReports(`${what}, update ${index}`, report, want.reports[index]);
  });
  assertSameStates(what, got.states, want.states);
  assertSameBits(`${what}, y`, got.y, want.y);
}

interface Setting {
  config: PoolConfig;
  batch: UpdateBatch;
  workload: Workload;
}

export function determinismCases(context: SuiteContext): ConformanceCase[] {
  const shapes = context.quick ? SHAPES.slice(0, 2) : SHAPES;
  const { stateDtypes } = context.makeBackend();
  const optimizers = Object.entries(OPTIMIZERS).filter(([, { stateDtype = 'fp32' }]) =>
    stateDtypes.includes(stateDtype),
  );
  const configOf = (shape: Shape, optimizer: Partial<PoolConfig>): PoolConfig =>
    poolConfig({ ...shape, residual: true, capacity: CAPACITY, scaling: 0.5, ...optimizer });
  const cases = shapes.flatMap((shape, index) =>
    optimizers.flatMap(([name, optimizer]) => {
      const config = configOf(shape, optimizer);
      const title = `${name}, ${shapeName(shape)}`;
      return [
        { name: `determinism: the same call twice: ${title}`, run: () => checkTwice(context, config, index) },
        { name: `determinism: threads 1, 2, 3, 7: ${title}`, run: () => checkThreads(context, config, index) },
        { name: `determinism: alone or in a crowd: ${title}`, run: () => checkAlone(context, config, index) },
        { name: `determinism: apply row by row: ${title}`, run: () => checkRowByRow(context, config, index) },
      ];
    }),
  );
  const manyRows = optimizers.map(([name, optimizer]) => ({
    name: `determinism: threads 1, 2, 3, 7 with many rows: ${name}`,
    run: () => checkManyRows(context, configOf({ rank: 8, inFeatures: 64, outFeatures: 64 }, optimizer)),
  }));
  return [...cases, ...manyRows];
}

function setting(config: PoolConfig, seed: number, kind: WorkloadKind = 'zipf', rows = 150): Setting {
  const random = new SeededRandom(seed);
  const workload = makeWorkload(kind, { users: 30, rows, capacity: CAPACITY, seed });
  const batch = randomBatch(config, workload, random);
  batch.rowWeight = random.uniforms(workload.rowSlots.length, 0.1, 2);
  return { config, batch, workload };
}

function prepare(pool: KernelPool, seed: number): void {
  fillSlots(pool, range(CAPACITY), new SeededRandom(100 + seed));
}

async function outcomeOf(context: SuiteContext, { config, batch, workload }: Setting, seed: number): Promise<Outcome> {
  let outcome: Outcome | undefined;
  await withPool(context, config, (pool) => {
    prepare(pool, seed);
    outcome = learn(pool, batch, workload.rowSlots);
  });
  return outcome as Outcome;
}

async function checkTwice(context: SuiteContext, config: PoolConfig, seed: number): Promise<void> {
  const one = await outcomeOf(context, setting(config, seed), seed);
  const two = await outcomeOf(context, setting(config, seed), seed);
  assertSameOutcome('a second pool', two, one);
}

async function checkThreads(context: SuiteContext, config: PoolConfig, seed: number): Promise<void> {
  await compareThreads(context, setting(config, seed), seed);
}

/** Work enough for a backend to find several threads worth while: some 100 µs of one; evenly spread, and not at all. */
async function checkManyRows(context: SuiteContext, config: PoolConfig): Promise<void> {
  for (const kind of ['zipf', 'skewed'] as const) await compareThreads(context, setting(config, 9, kind, 1600), 9);
}

async function compareThreads(context: SuiteContext, { config, ...rest }: Setting, seed: number): Promise<void> {
  const outcome = (threads: number) => outcomeOf(context, { config: { ...config, threads }, ...rest }, seed);
  const one = await outcome(1);
  for (const threads of [2, 3, 7]) assertSameOutcome(`${threads} threads`, await outcome(threads), one);
}

/** Each user learns in a pool of their own company: nobody. */
async function checkAlone(context: SuiteContext, config: PoolConfig, seed: number): Promise<void> {
  const { batch, workload } = setting({ ...config, threads: 2 }, seed);
  const together = await outcomeOf(context, setting({ ...config, threads: 2 }, seed), seed);
  await withPool(context, config, (pool) => {
    prepare(pool, seed);
    for (let user = 0; user < batch.slots.length; user++) {
      const [first, end] = batch.rowOffsets.subarray(user, user + 2);
      const { inFeatures, outFeatures } = config;
      const single: UpdateBatch = {
        slots: batch.slots.slice(user, user + 1),
        rowOffsets: uints(0, end - first),
        x: batch.x.slice(first * inFeatures, end * inFeatures),
        target: batch.target.slice(first * outFeatures, end * outFeatures),
        rowWeight: batch.rowWeight?.slice(first, end),
      };
      const got = learn(pool, single, workload.rowSlots.slice(first, end));
      const { slabLength } = pool.layout;
      const part = <T extends Float32Array | Uint8Array>(values: T, size = 1): T =>
        values.slice(user * size, (user + 1) * size) as T;
      assertSameOutcome(`user ${user} alone`, got, {
        reports: together.reports.map(({ loss, gradNorm, flags }) => ({
          loss: part(loss),
          gradNorm: part(gradNorm),
          flags: part(flags),
        })),
        states: { slabs: part(together.states.slabs, slabLength), steps: together.states.steps.slice(user, user + 1) },
        y: together.y.slice(first * outFeatures, end * outFeatures),
      });
    }
  });
}

/** One call for all rows, in an order that mixes the users, against one call per row. */
async function checkRowByRow(context: SuiteContext, config: PoolConfig, seed: number): Promise<void> {
  await withPool(context, { ...config, threads: 3 }, (pool) => {
    prepare(pool, seed);
    const random = new SeededRandom(seed);
    const rows = 90;
    // runs of 1 to 5 rows of one slot, as well as neighbours that differ
    const slots = new Uint32Array(rows);
    for (let row = 0; row < rows; ) {
      const slot = random.integer(0, CAPACITY - 1);
      for (let run = random.integer(1, 5); run > 0 && row < rows; run--) slots[row++] = slot;
    }
    const x = random.normals(rows * config.inFeatures);
    const y = new Float32Array(rows * config.outFeatures);
    pool.apply({ slots, x }, y);
    for (let row = 0; row < rows; row++) {
      const single = new Float32Array(config.outFeatures);
      pool.apply({ slots: slots.slice(row, row + 1), x: rowVector(x, config.inFeatures, row) }, single);
      assertSameBits(`y of row ${row}`, rowVector(y, config.outFeatures, row), single);
    }
  });
}
