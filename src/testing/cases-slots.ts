/** Slots as memory: what is written comes back bit for bit, and only what is named changes. */
import assert from 'node:assert/strict';
import { type KernelPool, MAX_CAPACITY, type PoolConfig } from '../kernels/contract.js';
import { fillSlots } from './fixtures.js';
import {
  ADAMW,
  assertExact,
  assertSameBits,
  assertSameStates,
  assertThrows,
  type ConformanceCase,
  floats,
  newReport,
  range,
  readStates,
  runUpdate,
  SGD,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { SeededRandom } from './random.js';

const ALL = range(16);
const EWC = { form: 'proximal', lambda: 1 } as const;
const CONFIGS: Record<string, Partial<PoolConfig>> = {
  'weights only': { optimizer: SGD },
  'with EWC': { optimizer: SGD, ewc: EWC },
  'with AdamW': { optimizer: ADAMW },
  'with EWC and AdamW': { optimizer: ADAMW, ewc: EWC },
};

/** Numbers that arithmetic could lose: -0, the smallest and largest ones, subnormals. */
const DELICATE = [-0, 2 ** -149, -(2 ** -149), 2 ** -126, 3.4028234663852886e38, 1 / 3, -1e-40];

export function slotCases(context: SuiteContext): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const on = (name: string, config: Partial<PoolConfig>, body: (pool: KernelPool) => void): void => {
    cases.push({ name: `slots: ${name}`, run: () => withPool(context, config, body) });
  };
  for (const [name, config] of Object.entries(CONFIGS)) {
    for (const [inFeatures, outFeatures, rank] of [
      [3, 5, 2],
      [17, 17, 3],
      [33, 1, 7],
      [64, 64, 4],
    ]) {
      const shape = { inFeatures, outFeatures, rank };
      on(
        `write and read, ${name}, ${inFeatures} -> ${outFeatures}, rank ${rank}`,
        { ...config, ...shape },
        checkRoundTrip,
      );
    }
    on(`copy and clear, ${name}`, { ...config, inFeatures: 9, outFeatures: 7 }, checkCopyAndClear);
  }
  on('slots far apart in a pool of the largest capacity', { capacity: MAX_CAPACITY }, checkFarApart);
  on(
    'memory grows with the slots in use',
    { capacity: 1_000_000, rank: 8, inFeatures: 64, outFeatures: 64 },
    checkMemory,
  );
  on('a cleared slot starts anew', { optimizer: ADAMW, ewc: EWC, learningRate: 0.1 }, checkClearedSlot);
  on('the step counter counts steps, and stops at its limit', { optimizer: ADAMW }, checkStepCounter);
  on('items are copied, replaced and unbound', {}, checkItems);
  return cases;
}

function checkRoundTrip(pool: KernelPool): void {
  const random = new SeededRandom(50);
  fillSlots(pool, ALL, random);
  const others = readStates(pool, ALL);
  const slots = uints(3, 15, 0);
  const slabs = random.uniforms(slots.length * pool.layout.slabLength, 0, 1);
  // fisher and moment2 may not be negative: -0 is no problem, but negative numbers go to the weights only
  DELICATE.forEach((value, i) => {
    slabs[i % pool.layout.parameterCount] = value;
    slabs[slabs.length - 1 - i] = Math.abs(value);
  });
  const steps = uints(0, 4294967295, 7);
  const [slabsGiven, stepsGiven] = [slabs.slice(), steps.slice()];
  pool.write(slots, slabs, steps);
  assertSameBits('the slabs handed in', slabs, slabsGiven);
  slabs.fill(9); // the pool must not hold on to the caller's memory
  steps.fill(9);
  assertSameStates('read', readStates(pool, slots), { slabs: slabsGiven, steps: stepsGiven });
  // read takes a slot any number of times
  const twice = readStates(pool, uints(15, 15));
  const { slabLength } = pool.layout;
  const second = slabsGiven.slice(slabLength, 2 * slabLength);
  assertSameBits('read twice', twice.slabs, floats(...second, ...second));

  const untouched = ALL.filter((slot) => !slots.includes(slot));
  const after = readStates(pool, untouched);
  untouched.forEach((slot, i) => {
    const want = others.slabs.slice(slot * slabLength, (slot + 1) * slabLength);
    assertSameBits(`slot ${slot}`, after.slabs.slice(i * slabLength, (i + 1) * slabLength), want);
  });
}

function checkCopyAndClear(pool: KernelPool): void {
  fillSlots(pool, range(8), new SeededRandom(51));
  const before = readStates(pool, ALL);
  // a source may stand twice, and slot 12 was never written
  pool.copy(uints(2, 2, 7, 12), uints(9, 0, 15, 4));
  const { slabLength } = pool.layout;
  const want = { slabs: before.slabs.slice(), steps: before.steps.slice() };
  const pairs = [[2, 9], [2, 0], [7, 15], [12, 4]]; // biome-ignore format: one pair after another
  for (const [from, to] of pairs) {
    want.slabs.copyWithin(to * slabLength, from * slabLength, (from + 1) * slabLength);
    want.steps[to] = before.steps[from];
  }
  assertSameStates('after copy', readStates(pool, ALL), want);

  pool.clear(uints(0, 7, 11, 7));
  for (const slot of [0, 7, 11]) {
    want.slabs.fill(0, slot * slabLength, (slot + 1) * slabLength);
    want.steps[slot] = 0;
  }
  assertSameStates('after clear', readStates(pool, ALL), want);
}

function checkFarApart(pool: KernelPool): void {
  const slots = uints(MAX_CAPACITY - 1, 0, 123456789, 1);
  fillSlots(pool, slots, new SeededRandom(52));
  const before = readStates(pool, slots);
  pool.copy(uints(MAX_CAPACITY - 1), uints(1));
  pool.clear(uints(0));
  const after = readStates(pool, slots);
  const { slabLength } = pool.layout;
  const part = (index: number, slabs: Float32Array): Float32Array =>
    slabs.slice(index * slabLength, (index + 1) * slabLength);
  assertSameBits('the copy', part(3, after.slabs), part(0, before.slabs));
  assertSameBits('one that stayed', part(2, after.slabs), part(2, before.slabs));
  assertSameBits('the cleared one', part(1, after.slabs), new Float32Array(slabLength));
}

function checkMemory(pool: KernelPool): void {
  const empty = pool.memoryBytes;
  fillSlots(pool, range(100), new SeededRandom(55));
  const slots = 4 * 100 * pool.layout.slabLength;
  assert.ok(pool.memoryBytes - empty >= slots, `100 slots of ${slots} bytes took ${pool.memoryBytes - empty}`);
  const before = pool.memoryBytes;
  pool.bindItems(new Float32Array(64 * 1000));
  assert.ok(pool.memoryBytes - before >= 256_000, `1000 items of 256 bytes took ${pool.memoryBytes - before}`);
}

function checkClearedSlot(pool: KernelPool): void {
  const random = new SeededRandom(53);
  const batch = { slots: uints(5), rowOffsets: uints(0, 2), x: random.normals(6), target: random.normals(6) };
  const slab = random.uniforms(pool.layout.slabLength);
  const learn = () => {
    pool.write(uints(5), slab, uints(0));
    runUpdate(pool, batch);
    return readStates(pool, uints(5));
  };
  const fresh = learn();
  pool.consolidate({ ...batch, decay: 1 });
  pool.clear(uints(5));
  assertSameStates('learning after clear', learn(), fresh);
}

function checkStepCounter(pool: KernelPool): void {
  const random = new SeededRandom(54);
  fillSlots(pool, ALL, random);
  const { slabs } = readStates(pool, uints(0, 1, 2));
  pool.write(uints(0, 1, 2), slabs, uints(0, 41, 2 ** 32 - 1));
  const x = random.normals(9);
  pool.update({ slots: uints(0, 1, 2), rowOffsets: uints(0, 1, 2, 3), x, target: x }, newReport(3));
  assertExact('steps', readStates(pool, uints(0, 1, 2)).steps, [1, 42, 2 ** 32 - 1]);
}

function checkItems(pool: KernelPool): void {
  pool.write(uints(0), floats(1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0), uints(0)); // y = (x₀, x₁, 0)
  const applied = (id: number): Float32Array => {
    const y = new Float32Array(3);
    pool.apply({ slots: uints(0), x: uints(id) }, y);
    return y;
  };
  assertThrows('ids without a table', 'ERR_NO_ITEMS', () => applied(0));
  const items = floats(1, 2, 3, 4, 5, 6);
  pool.bindItems(items);
  assertExact('item 1', applied(1), [4, 5, 0]);
  items.fill(9);
  assertExact('item 1, after the caller changed his array', applied(1), [4, 5, 0]);
  pool.bindItems(floats(7, 8, 9));
  assertExact('item 0 of another table', applied(0), [7, 8, 0]);
  assertThrows('an item that only the first table had', 'ERR_ITEM_OUT_OF_RANGE', () => applied(1));
  assertThrows('an item that is not finite', 'ERR_NOT_FINITE', () => pool.bindItems(floats(1, Number.NaN, 3)));
  assertExact('item 0, after a refused table', applied(0), [7, 8, 0]);
  pool.bindItems(new Float32Array(0));
  assertThrows('an item of an empty table', 'ERR_ITEM_OUT_OF_RANGE', () => applied(0));
  pool.bindItems(null);
  assertThrows('ids after unbinding', 'ERR_NO_ITEMS', () => applied(0));
}
