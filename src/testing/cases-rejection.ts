/** Rows that are not finite, or that overflow: the slot stays as it was, its neighbours learn as if nothing were wrong. */
import assert from 'node:assert/strict';
import { type KernelPool, type PoolConfig, UpdateFlag } from '../kernels/contract.js';
import { fillSlots, randomBatch, rowVector } from './fixtures.js';
import {
  ADAMW,
  assertExact,
  assertSameBits,
  assertSameStates,
  assertThrows,
  type ConformanceCase,
  floats,
  range,
  readStates,
  runUpdate,
  SGD,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { SeededRandom } from './random.js';

const IN = 20;
const SHAPE: Partial<PoolConfig> = { rank: 4, inFeatures: IN, outFeatures: IN, residual: true, threads: 2 };
const ALL = range(16);
/** Five users with two rows each; user 2 gets the bad row. */
const SLOTS = uints(4, 9, 1, 0, 12);
const ROW_OFFSETS = uints(0, 2, 4, 6, 8, 10);
const BAD_USER = 2;
const BAD_ROW = 5;

const POISONS: Record<string, number> = { NaN: Number.NaN, Infinity, '-Infinity': -Infinity, '3e38': 3e38 };
const OPTIMIZERS: Record<string, Partial<PoolConfig>> = {
  SGD: { optimizer: SGD },
  AdamW: { optimizer: ADAMW, ewc: { form: 'proximal', lambda: 1 } },
};

export function rejectionCases(context: SuiteContext): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const on = (name: string, config: Partial<PoolConfig>, body: (pool: KernelPool) => void): void => {
    cases.push({
      name: `rejection: ${name}`,
      run: () =>
        withPool(context, { ...SHAPE, ...config }, (pool) => {
          fillSlots(pool, ALL, new SeededRandom(40));
          body(pool);
        }),
    });
  };
  for (const [optimizer, config] of Object.entries(OPTIMIZERS)) {
    for (const [poison, value] of Object.entries(POISONS)) {
      for (const where of ['x', 'target'] as const) {
        on(`${poison} in ${where}, ${optimizer}`, config, (pool) => checkPoisonedRow(pool, where, value));
      }
    }
    on(`weights of 0, ${optimizer}`, config, checkNoWeight);
    // without EWC, whose proximal form would bring the weights back from anywhere; AdamW's own steps are bounded
    const decaying = { ...(config.optimizer ?? SGD), weightDecay: 50 };
    on(`a step that overflows, ${optimizer}`, { optimizer: decaying, ewc: null }, checkOverflow);
  }
  on('a NaN row of apply is NaN, and only that row', {}, checkApplyNaN);
  on('a Fisher that is not finite is refused as a whole', OPTIMIZERS.AdamW, checkFisher);
  cases.push({ name: 'rejection: where a number is not finite', run: () => checkFirstNonFinite(context) });
  return cases;
}

function checkFirstNonFinite({ makeBackend }: SuiteContext): void {
  const backend = makeBackend();
  const extremes = floats(0, -0, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, 1.5, -2);
  // longer than the blocks in which a fast backend may look
  for (const length of [0, 1, 7, 255, 256, 257, 1025, 5000]) {
    const values = Float32Array.from({ length }, (_, i) => extremes[i % extremes.length]);
    assert.equal(backend.firstNonFinite(values), -1, `${length} finite numbers`);
    const copy = new Float32Array(length);
    assert.equal(backend.firstNonFinite(values, copy), -1, `${length} finite numbers, copied`);
    assertSameBits(`the copy of ${length}`, copy, values);
    for (const wrong of [length + 1, Math.max(0, length - 1)].filter((other) => other !== length)) {
      assertThrows(`a copy of ${wrong} for ${length}`, 'ERR_LENGTH_MISMATCH', () => {
        backend.firstNonFinite(values, new Float32Array(wrong));
      });
    }
    for (let i = 0; i < length; i = i < 300 ? i + 1 : 2 * i - 7) {
      const spoilt = values.slice();
      spoilt.fill(Number.NaN, i + 5);
      spoilt[i] = [Number.NaN, Infinity, -Infinity][i % 3];
      assert.equal(backend.firstNonFinite(spoilt), i, `${spoilt[i]} at ${i} of ${length}`);
      copy.fill(7);
      assert.equal(backend.firstNonFinite(spoilt, copy), i, `${spoilt[i]} at ${i} of ${length}, copied`);
      const wanted = values.slice().fill(7, i);
      assertSameBits(`the copy up to ${i}`, copy, wanted);
    }
  }
}

function batchOf(pool: KernelPool) {
  const rowSlots = new Uint32Array(10);
  return randomBatch(
    pool.config,
    { kind: 'distinct', slots: SLOTS, rowOffsets: ROW_OFFSETS, rowSlots },
    new SeededRandom(41),
  );
}

function checkPoisonedRow(pool: KernelPool, where: 'x' | 'target', poison: number): void {
  const before = readStates(pool, ALL);
  const clean = batchOf(pool);
  const cleanReport = runUpdate(pool, clean);
  const wanted = readStates(pool, ALL);
  const { slabLength } = pool.layout;
  const bad = SLOTS[BAD_USER];
  wanted.slabs.set(before.slabs.subarray(bad * slabLength, (bad + 1) * slabLength), bad * slabLength);
  wanted.steps[bad] = before.steps[bad];

  pool.write(ALL, before.slabs, before.steps);
  const poisoned = { ...clean, [where]: clean[where].slice() };
  poisoned[where][BAD_ROW * IN + 7] = poison;
  const report = runUpdate(pool, poisoned);
  assertExact('flags of the poisoned slot', [report.flags[BAD_USER]], [UpdateFlag.REJECTED]);
  assertSameStates('slots', readStates(pool, ALL), wanted);
  for (let user = 0; user < SLOTS.length; user++) {
    if (user === BAD_USER) continue;
    for (const field of ['loss', 'gradNorm', 'flags'] as const) {
      assertSameBits(`${field} of user ${user}`, [report[field][user]], [cleanReport[field][user]]);
    }
  }
}

function checkNoWeight(pool: KernelPool): void {
  const before = readStates(pool, ALL);
  const batch = batchOf(pool);
  const rowWeight = floats(1, 2, 0, 1, 0, 0, 1, 0, 3, 1);
  const report = runUpdate(pool, { ...batch, rowWeight });
  assertExact('flags', report.flags, [0, 0, UpdateFlag.NO_WEIGHT, 0, 0]);
  assertExact('loss and gradNorm', [report.loss[BAD_USER], report.gradNorm[BAD_USER]], [0, 0]);
  const after = readStates(pool, ALL);
  const { slabLength } = pool.layout;
  SLOTS.forEach((slot, user) => {
    const part = (slabs: Float32Array): Float32Array => slabs.subarray(slot * slabLength, (slot + 1) * slabLength);
    if (user === BAD_USER) assertSameBits('the slot without weight', part(after.slabs), part(before.slabs));
    else assert.notDeepEqual(part(after.slabs), part(before.slabs), `user ${user} did not learn`);
    assertExact('steps', [after.steps[slot]], [before.steps[slot] + (user === BAD_USER ? 0 : 1)]);
  });
}

/** A finite gradient, but a rate at which no weight stays finite. */
function checkOverflow(pool: KernelPool): void {
  const before = readStates(pool, ALL);
  const batch = batchOf(pool);
  const target = (batch.target as Float32Array).map((value, i) =>
    Math.floor(i / IN) === BAD_ROW ? value * 1e6 : value,
  );
  const learningRate = new Float32Array(SLOTS.length).fill(0.01);
  learningRate[BAD_USER] = 3.4e38;
  const report = runUpdate(pool, { ...batch, target, learningRate });
  assertExact('flags', report.flags, [0, 0, UpdateFlag.REJECTED, 0, 0]);
  const after = readStates(pool, SLOTS.slice(BAD_USER, BAD_USER + 1));
  const { slabLength } = pool.layout;
  const bad = SLOTS[BAD_USER];
  assertSameBits('the slot', after.slabs, before.slabs.slice(bad * slabLength, (bad + 1) * slabLength));
  assertExact('steps', after.steps, [before.steps[bad]]);
}

function checkApplyNaN(pool: KernelPool): void {
  const rows = 6;
  const slots = uints(4, 4, 4, 9, 9, 1);
  const x = new SeededRandom(42).normals(rows * IN);
  const clean = new Float32Array(rows * IN);
  pool.apply({ slots, x }, clean);
  x[4 * IN + 3] = Number.NaN;
  const y = new Float32Array(rows * IN);
  pool.apply({ slots, x }, y);
  for (let row = 0; row < rows; row++) {
    const got = rowVector(y, IN, row);
    if (row === 4) assert.ok(got.every(Number.isNaN), 'the row with a NaN is not NaN throughout');
    else assertSameBits(`y of row ${row}`, got, rowVector(clean, IN, row));
  }
}

function checkFisher(pool: KernelPool): void {
  const before = readStates(pool, ALL);
  const { slots, rowOffsets, x } = batchOf(pool);
  // the last user's row, so that an implementation that writes as it goes is caught
  for (const poison of [Number.NaN, Infinity, 3e38]) {
    const poisoned = x.slice() as Float32Array;
    poisoned[9 * IN + 2] = poison;
    assertThrows(`${poison} in x`, 'ERR_NOT_FINITE', () =>
      pool.consolidate({ slots, rowOffsets, x: poisoned, decay: 1 }),
    );
    assertSameStates(`slots after ${poison}`, readStates(pool, ALL), before);
  }
}
