/** Every operation against the plain oracle, over shapes and hyperparameters. */
import type { EwcConfig, KernelPool, PoolConfig, UpdateBatch } from '../kernels/contract.js';
import { sectionView } from '../kernels/layout.js';
import { BUDGETS } from './budgets.js';
import {
  assertMatrices,
  assertState,
  checkUpdate,
  fillSlots,
  oracleParameters,
  oracleRows,
  randomBatch,
  rowVector,
  type Shape,
  shapeName,
} from './fixtures.js';
import {
  ADAMW,
  assertSameBits,
  assertSameStates,
  assertWithin,
  type ConformanceCase,
  floats,
  range,
  readStates,
  runUpdate,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { oracleConsolidate, oracleForward, oracleState, oracleUpdate } from './oracle.js';
import { SeededRandom } from './random.js';

const SHAPES: readonly Shape[] = [
  { rank: 1, inFeatures: 1, outFeatures: 1 },
  { rank: 2, inFeatures: 3, outFeatures: 5 },
  { rank: 4, inFeatures: 64, outFeatures: 64 },
  { rank: 8, inFeatures: 128, outFeatures: 128 },
  { rank: 3, inFeatures: 17, outFeatures: 17 },
  { rank: 13, inFeatures: 15, outFeatures: 16 },
  { rank: 40, inFeatures: 9, outFeatures: 9 },
  { rank: 6, inFeatures: 129, outFeatures: 127 },
  { rank: 8, inFeatures: 384, outFeatures: 384 },
];
const LARGE_SHAPES: readonly Shape[] = [
  { rank: 16, inFeatures: 768, outFeatures: 768 },
  { rank: 16, inFeatures: 300, outFeatures: 257 },
  { rank: 256, inFeatures: 40, outFeatures: 70 },
  { rank: 1, inFeatures: 8192, outFeatures: 8192 },
];

interface Variant {
  name: string;
  /** The learning rate is chosen so that one step moves the weights by about their own size. */
  config: (outFeatures: number) => Partial<PoolConfig>;
  extras?: (users: number, rows: number, random: SeededRandom, outFeatures: number) => Partial<UpdateBatch>;
}

const sgdRate = (outFeatures: number): number => outFeatures / 4;
const ewc = (form: EwcConfig['form'], lambda: number): EwcConfig => ({ form, lambda });

const VARIANTS: readonly Variant[] = [
  { name: 'SGD', config: (out) => ({ learningRate: sgdRate(out) }) },
  {
    name: 'SGD, weight decay, clip',
    config: (out) => ({
      learningRate: sgdRate(out),
      optimizer: { kind: 'sgd', weightDecay: 0.4 / out },
      maxGradNorm: 0.3,
    }),
  },
  {
    name: 'SGD, proximal EWC, row weights',
    config: (out) => ({ learningRate: sgdRate(out), ewc: ewc('proximal', 4 / out) }),
    extras: (_users, rows, random) => ({ rowWeight: random.uniforms(rows, 0, 3) }),
  },
  {
    name: 'SGD, EWC gradient, clip',
    config: (out) => ({ learningRate: sgdRate(out), ewc: ewc('gradient', 1 / out), maxGradNorm: 0.5 }),
  },
  { name: 'AdamW', config: () => ({ learningRate: 0.25, optimizer: { ...ADAMW, weightDecay: 1 } }) },
  {
    name: 'AdamW, proximal EWC, row weights',
    config: () => ({ learningRate: 0.25, optimizer: ADAMW, ewc: ewc('proximal', 4) }),
    extras: (_users, rows, random) => ({ rowWeight: random.uniforms(rows, 0, 3) }),
  },
  {
    name: 'AdamW, EWC gradient, clip',
    config: (out) => ({ learningRate: 0.25, optimizer: ADAMW, ewc: ewc('gradient', 1 / out), maxGradNorm: 0.3 }),
  },
  {
    name: 'per-slot rate, bound and lambda',
    config: () => ({ optimizer: { ...ADAMW, beta2: 0.9, epsilon: 1e-3 }, ewc: ewc('proximal', 1) }),
    extras: (users, _rows, random, out) => ({
      learningRate: random.uniforms(users, 0.1, 0.5),
      maxGradNorm: Float32Array.from({ length: users }, (_, user) => [Infinity, 0.1, 1e-3, 0.5][user % 4]),
      ewcLambda: random.uniforms(users, 0, 100 / out),
    }),
  },
];

export function agreementCases(context: SuiteContext): ConformanceCase[] {
  const shapes = context.quick ? SHAPES : [...SHAPES, ...LARGE_SHAPES];
  const cases: ConformanceCase[] = [];
  shapes.forEach((shape, index) => {
    const square = shape.inFeatures === shape.outFeatures;
    for (const residual of square ? [true, false] : [false]) {
      cases.push({
        name: `apply: ${shapeName(shape)}${residual ? ', residual' : ''}`,
        run: () => withPool(context, { ...shape, residual, scaling: 0.75 }, (pool) => checkApply(pool, index)),
      });
    }
    VARIANTS.forEach((variant, which) => {
      const residual = square && which % 2 === 0;
      const config = { ...shape, residual, scaling: 0.75, ...variant.config(shape.outFeatures) };
      cases.push({
        name: `update: ${variant.name}: ${shapeName(shape)}${residual ? ', residual' : ''}`,
        run: () => withPool(context, config, (pool) => checkOneUpdate(pool, variant, index)),
      });
    });
    cases.push({
      name: `consolidate: ${shapeName(shape)}`,
      run: () =>
        withPool(context, { ...shape, scaling: 0.75, optimizer: ADAMW, ewc: ewc('proximal', 1) }, (pool) =>
          checkConsolidate(pool, index),
        ),
    });
  });
  for (const variant of VARIANTS) {
    const shape = { rank: 3, inFeatures: 12, outFeatures: 12 };
    const config = { ...shape, residual: true, scaling: 0.5, ...variant.config(2) };
    cases.push({
      name: `five steps from zero moments: ${variant.name}`,
      run: () => withPool(context, config, (pool) => checkSteps(pool, variant)),
    });
  }
  if (!context.quick) {
    const limits = { rank: 256, inFeatures: 8192, outFeatures: 8192 };
    cases.push({
      name: `apply: ${shapeName(limits)}, the limits`,
      run: () => withPool(context, { ...limits, residual: true }, (pool) => checkApply(pool, 99, 1, 1)),
    });
  }
  return cases;
}

function checkApply(pool: KernelPool, seed: number, users = 5, rows = 13): void {
  const { config, layout } = pool;
  const random = new SeededRandom(seed);
  const slots = random.distinct(users, config.capacity);
  fillSlots(pool, slots, random);
  const rowUsers = random.integers(rows, 0, users - 1);
  const x = random.normals(rows * config.inFeatures);
  const y = new Float32Array(rows * config.outFeatures);
  pool.apply({ slots: rowUsers.map((user) => slots[user]), x }, y);
  const { slabs } = readStates(pool, slots);
  const weights = Array.from(slots, (_, user) => oracleState(layout, slabs, 0, user).weights);
  const want = new Float64Array(y.length);
  for (let i = 0; i < rows; i++) {
    want.set(oracleForward(config, weights[rowUsers[i]], rowVector(x, config.inFeatures, i)), i * config.outFeatures);
  }
  assertWithin('y', y, want, BUDGETS.apply);
}

/** Three users with 1, 2 and 6 rows. */
const ROW_OFFSETS = uints(0, 1, 3, 9);

function variantBatch(pool: KernelPool, variant: Variant, slots: Uint32Array, random: SeededRandom): UpdateBatch {
  const rows = ROW_OFFSETS[3];
  const workload = { kind: 'distinct', slots, rowOffsets: ROW_OFFSETS, rowSlots: new Uint32Array(rows) } as const;
  const extras = variant.extras?.(slots.length, rows, random, pool.config.outFeatures);
  return { ...randomBatch(pool.config, workload, random), ...extras };
}

function checkOneUpdate(pool: KernelPool, variant: Variant, seed: number): void {
  const random = new SeededRandom(seed);
  const slots = random.distinct(3, pool.config.capacity);
  fillSlots(pool, slots, random);
  const others = range(pool.config.capacity).filter((slot) => !slots.includes(slot));
  const untouched = readStates(pool, others);
  checkUpdate(pool, variantBatch(pool, variant, slots, random));
  assertSameStates('slots that were not listed', readStates(pool, others), untouched);
}

/** The oracle goes its own way in double, without ever seeing the pool's rounded state again. */
function checkSteps(pool: KernelPool, variant: Variant): void {
  const { config, layout } = pool;
  const random = new SeededRandom(5);
  const slots = uints(3, 0, 7);
  fillSlots(pool, slots, random);
  const { slabs } = readStates(pool, slots);
  for (let slot = 0; slot < slots.length; slot++) {
    for (const section of ['moment1', 'moment2'] as const) sectionView(layout, slabs, section, slot)?.fill(0);
  }
  pool.write(slots, slabs, uints(0, 0, 0));
  const first = Array.from(slots, (_, user) => oracleState(layout, slabs, 0, user));
  const states = [...first];
  for (let step = 0; step < 5; step++) {
    const batch = variantBatch(pool, variant, slots, random);
    runUpdate(pool, batch);
    for (let user = 0; user < slots.length; user++) {
      const rows = oracleRows(config, batch, user);
      states[user] = oracleUpdate(config, states[user], rows, oracleParameters(config, batch, user)).state;
    }
  }
  const after = readStates(pool, slots);
  states.forEach((state, user) => {
    assertState(pool, after, user, state, first[user], BUDGETS.steps);
  });
}

function checkConsolidate(pool: KernelPool, seed: number): void {
  const { config, layout } = pool;
  const random = new SeededRandom(seed);
  const slots = random.distinct(3, config.capacity);
  fillSlots(pool, slots, random);
  for (const decay of [0.9, 0, 1]) {
    const before = readStates(pool, slots);
    const x = random.normals(ROW_OFFSETS[3] * config.inFeatures);
    pool.consolidate({ slots, rowOffsets: ROW_OFFSETS, x, decay });
    const after = readStates(pool, slots);
    for (let user = 0; user < slots.length; user++) {
      const rows: Float32Array[] = [];
      for (let i = ROW_OFFSETS[user]; i < ROW_OFFSETS[user + 1]; i++) rows.push(rowVector(x, config.inFeatures, i));
      const start = oracleState(layout, before.slabs, before.steps[user], user);
      const want = oracleConsolidate(config, start, rows, decay);
      const got = oracleState(layout, after.slabs, after.steps[user], user);
      assertMatrices(`fisher of slot #${user}`, layout, got.fisher, want.fisher, want.fisher, BUDGETS.fisher);
      for (const section of ['weights', 'anchor', 'moment1', 'moment2'] as const) {
        assertSameBits(`${section} of slot #${user}`, got[section], want[section]);
      }
      assertSameBits(`step of slot #${user}`, floats(got.step), floats(want.step));
    }
  }
}
