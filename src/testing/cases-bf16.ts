/** Pools that keep Fisher and anchor in bf16: what is kept, what is computed from it, and that small things add up. */
import assert from 'node:assert/strict';
import type { KernelPool, PoolConfig } from '../kernels/contract.js';
import { sectionView } from '../kernels/layout.js';
import { checkUpdate, fillSlots, randomBatch, rowVector, type Shape, shapeName } from './fixtures.js';
import {
  ADAMW,
  assertSameBits,
  assertSameStates,
  assertThrows,
  type ConformanceCase,
  poolConfig,
  readStates,
  type SlotStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { type OracleState, oracleConsolidate, oracleState } from './oracle.js';
import { SeededRandom } from './random.js';
import { makeWorkload } from './workloads.js';

const PROXIMAL = { stateDtype: 'bf16', ewc: { form: 'proximal', lambda: 1 } } as const;
const GRADIENT = { stateDtype: 'bf16', ewc: { form: 'gradient', lambda: 0.1 } } as const;
const SHAPES: readonly Shape[] = [
  { rank: 1, inFeatures: 3, outFeatures: 1 },
  { rank: 3, inFeatures: 17, outFeatures: 33 },
  { rank: 4, inFeatures: 64, outFeatures: 64 },
  { rank: 8, inFeatures: 130, outFeatures: 127 },
];

/** What bf16 could get wrong: ties to either side, the last number below the next, subnormals, the largest floats. */
const DELICATE = [
  ...[-0, 1, 1 + 2 ** -8, 1 + 2 ** -8 + 2 ** -23, 1 + 2 ** -8 - 2 ** -23, 1 + 3 * 2 ** -8, 2 - 2 ** -23],
  ...[2 ** -149, 2 ** -126, 2 ** -134, 3 * 2 ** -134, 3.4028234663852886e38, 3.3895313892515355e38, 1 / 3, 1e-40],
];

export function bf16Cases(context: SuiteContext): ConformanceCase[] {
  const backend = context.makeBackend();
  if (!backend.stateDtypes.includes('bf16')) {
    const refuse = (): void =>
      assertThrows('a pool in bf16', 'ERR_BACKEND_UNAVAILABLE', () => backend.createPool(poolConfig(PROXIMAL)));
    return [{ name: 'bf16: a backend without it says so', run: refuse }];
  }
  const on = (name: string, config: Partial<PoolConfig>, body: (pool: KernelPool) => void): ConformanceCase => ({
    name: `bf16: ${name}`,
    run: () => withPool(context, config, body),
  });
  return [
    ...SHAPES.flatMap((shape) => [
      on(`write and read, ${shapeName(shape)}`, { ...PROXIMAL, ...shape, optimizer: ADAMW }, checkRoundTrip),
      on(`update, SGD, proximal EWC, ${shapeName(shape)}`, { ...PROXIMAL, ...shape }, checkUpdates),
      on(`update, SGD, EWC gradient, ${shapeName(shape)}`, { ...GRADIENT, ...shape }, checkUpdates),
      on(`update, AdamW, proximal EWC, ${shapeName(shape)}`, { ...PROXIMAL, ...shape, optimizer: ADAMW }, checkUpdates),
      on(`consolidate, ${shapeName(shape)}`, { ...PROXIMAL, ...shape, optimizer: ADAMW }, checkConsolidate),
    ]),
    on('many small contributions add up', { ...PROXIMAL, ...SHAPES[2] }, checkSmallContributions),
    on('a slot repeats its consolidations after it was written again', { ...PROXIMAL, ...SHAPES[1] }, checkRepetition),
    on('a Fisher near the largest float stays finite', { ...PROXIMAL, ...SHAPES[0] }, checkLargest),
  ];
}

/** By definition: the multiples of the spacing next to `value`, the nearer of them, of two the even one. */
function nearestBf16(value: number): number {
  const spacing = spacingAt(value);
  const below = Math.floor(value / spacing);
  const part = value / spacing - below;
  const multiple = part > 0.5 || (part === 0.5 && below % 2 !== 0) ? below + 1 : below;
  const largest = 255 * 2 ** 120;
  const rounded = Math.max(-largest, Math.min(multiple * spacing, largest));
  return rounded === 0 && Object.is(Math.sign(value), -0) ? -0 : rounded;
}

/** Between neighbouring bf16 numbers at `value`: 2⁻⁷ of the power of two below it, and of the smallest one further down. */
function spacingAt(value: number): number {
  let power = 2 ** -126;
  while (power * 2 <= Math.abs(value)) power *= 2;
  return power / 128;
}

function checkRoundTrip(pool: KernelPool): void {
  const { layout } = pool;
  const random = new SeededRandom(70);
  const slots = uints(3, 15, 0);
  const slabs = random.uniforms(slots.length * layout.slabLength, 0, 1);
  const view = (all: Float32Array, section: 'fisher' | 'anchor', i: number) =>
    sectionView(layout, all, section, i) as Float32Array;
  for (let i = 0; i < slots.length; i++) {
    DELICATE.forEach((value, at) => {
      const index = (5 * i + at) % layout.parameterCount;
      view(slabs, 'fisher', i)[index] = Math.abs(value);
      view(slabs, 'anchor', i)[index] = at % 2 ? value : -value;
    });
  }
  pool.write(slots, slabs, uints(1, 2, 3));
  const want: SlotStates = { slabs: slabs.slice(), steps: uints(1, 2, 3) };
  for (let i = 0; i < slots.length; i++) {
    for (const section of ['fisher', 'anchor'] as const) {
      const numbers = view(want.slabs, section, i);
      numbers.set(numbers.map(nearestBf16));
    }
  }
  const read = readStates(pool, slots);
  assertSameStates('read', read, want);
  pool.write(slots, read.slabs, read.steps);
  assertSameStates('written back and read again', readStates(pool, slots), want);
  pool.copy(uints(15), uints(7));
  assertSameBits(
    'a copy',
    readStates(pool, uints(7)).slabs,
    want.slabs.slice(layout.slabLength, 2 * layout.slabLength),
  );
  pool.clear(uints(7));
  assertSameBits('a cleared slot', readStates(pool, uints(7)).slabs, new Float32Array(layout.slabLength));
}

/** The oracle begins with what the pool kept. */
function checkUpdates(pool: KernelPool): void {
  const random = new SeededRandom(71);
  const workload = makeWorkload('zipf', { users: 5, rows: 20, capacity: pool.config.capacity, seed: 71 });
  fillSlots(pool, workload.slots, random);
  checkUpdate(pool, randomBatch(pool.config, workload, random));
}

const ROW_OFFSETS = uints(0, 1, 3);

function consolidated(pool: KernelPool, before: OracleState[], x: Float32Array, decay: number): OracleState[] {
  const { config } = pool;
  return before.map((state, user) => {
    const rows: Float32Array[] = [];
    for (let i = ROW_OFFSETS[user]; i < ROW_OFFSETS[user + 1]; i++) rows.push(rowVector(x, config.inFeatures, i));
    return oracleConsolidate(config, state, rows, decay);
  });
}

function statesOf(pool: KernelPool, slots: Uint32Array): OracleState[] {
  const { slabs, steps } = readStates(pool, slots);
  return Array.from(slots, (_, user) => oracleState(pool.layout, slabs, steps[user], user));
}

function checkConsolidate(pool: KernelPool): void {
  const random = new SeededRandom(72);
  const slots = uints(9, 4);
  fillSlots(pool, slots, random);
  for (const decay of [0.9, 0, 1]) {
    const before = statesOf(pool, slots);
    const x = random.normals(ROW_OFFSETS[2] * pool.config.inFeatures);
    pool.consolidate({ slots, rowOffsets: ROW_OFFSETS, x, decay });
    const wanted = consolidated(pool, before, x, decay);
    statesOf(pool, slots).forEach((got, user) => {
      const want = wanted[user];
      want.fisher.forEach((fisher, i) => {
        const [spacing, got_i] = [spacingAt(fisher), got.fisher[i]];
        const off = Math.abs(got_i - fisher) / spacing;
        // the share of a spacing by which single precision may miss before it is rounded
        assert.ok(off < 1.01, `fisher[${i}] of slot #${user}: got ${got_i}, expected a neighbour of ${fisher}`);
        assert.equal(nearestBf16(got_i), got_i, `fisher[${i}] of slot #${user} has too many bits`);
      });
      assertSameBits(`anchor of slot #${user}`, got.anchor, want.anchor.map(nearestBf16));
      for (const section of ['weights', 'moment1', 'moment2'] as const) {
        assertSameBits(`${section} of slot #${user}`, got[section], want[section]);
      }
    });
  }
}

/**
 * Each contribution is a twentieth of the spacing on average: rounded to nearest, the Fisher would stay where it is, and
 * always up, it would be twenty times too large. Rounded at random, the mean over a matrix is off by 2 % (one sigma).
 */
function checkSmallContributions(pool: KernelPool): void {
  const { layout, config } = pool;
  const random = new SeededRandom(73);
  const slots = uints(6, 2);
  const slabs = new Float32Array(2 * layout.slabLength);
  for (let user = 0; user < 2; user++) {
    const weights = sectionView(layout, slabs, 'weights', user) as Float32Array;
    weights.set(random.uniforms(layout.parameterCount, -0.08, 0.08));
    (sectionView(layout, slabs, 'fisher', user) as Float32Array).fill(256);
  }
  pool.write(slots, slabs, uints(0, 0));
  const before = statesOf(pool, slots);
  let exact = before;
  for (let task = 0; task < 200; task++) {
    const x = random.normals(ROW_OFFSETS[2] * config.inFeatures);
    pool.consolidate({ slots, rowOffsets: ROW_OFFSETS, x, decay: 1 });
    exact = consolidated(pool, exact, x, 1);
  }
  const sumOf = (values: Float64Array, [first, end]: number[]): number =>
    values.subarray(first, end).reduce((sum, value) => sum + value, 0);
  statesOf(pool, slots).forEach((state, user) => {
    for (const part of [
      [0, layout.loraALength],
      [layout.loraALength, layout.parameterCount],
    ]) {
      const start = sumOf(before[user].fisher, part);
      const [got, want] = [sumOf(state.fisher, part) - start, sumOf(exact[user].fisher, part) - start];
      assert.ok(Math.abs(got / want - 1) < 0.1, `slot #${user}: the Fisher grew by ${got} in all, expected ${want}`);
    }
  });
}

function checkRepetition(pool: KernelPool): void {
  const random = new SeededRandom(74);
  const slots = uints(1, 8);
  fillSlots(pool, slots, random);
  const { slabs, steps } = readStates(pool, slots);
  const x = random.normals(ROW_OFFSETS[2] * pool.config.inFeatures);
  const run = (): SlotStates => {
    pool.write(slots, slabs, steps);
    for (let task = 0; task < 3; task++) pool.consolidate({ slots, rowOffsets: ROW_OFFSETS, x, decay: 0.9 });
    return readStates(pool, slots);
  };
  const first = run();
  assertSameStates('the second time', run(), first);
}

function checkLargest(pool: KernelPool): void {
  const { layout } = pool;
  const slab = new Float32Array(layout.slabLength);
  (sectionView(layout, slab, 'fisher') as Float32Array).fill(3.4e38);
  pool.write(uints(0), slab, uints(0));
  pool.consolidate({ slots: uints(0), rowOffsets: uints(0, 1), x: new Float32Array(pool.config.inFeatures), decay: 1 });
  const { fisher } = statesOf(pool, uints(0))[0];
  assertSameBits('fisher', fisher, new Float64Array(fisher.length).fill(nearestBf16(3.4e38)));
}
