/** The gradient that a step reveals, against central differences of the plain loss in double precision. */
import type { KernelPool, PoolConfig } from '../kernels/contract.js';
import { BUDGETS } from './budgets.js';
import { fillSlots, oracleRows, randomBatch, type Shape, shapeName } from './fixtures.js';
import {
  assertWithin,
  type ConformanceCase,
  maxMagnitude,
  readStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { oracleLoss } from './oracle.js';
import { SeededRandom } from './random.js';
import { makeWorkload } from './workloads.js';

/** Ones that have broken kernels elsewhere: 1×1, odd tails, rank above the dimension, very flat, very wide. */
const AWKWARD_SHAPES: readonly Shape[] = [
  { rank: 1, inFeatures: 1, outFeatures: 1 },
  { rank: 3, inFeatures: 17, outFeatures: 17 },
  { rank: 9, inFeatures: 8, outFeatures: 8 },
  { rank: 5, inFeatures: 33, outFeatures: 31 },
  { rank: 7, inFeatures: 100, outFeatures: 1 },
  { rank: 1, inFeatures: 1, outFeatures: 100 },
  { rank: 33, inFeatures: 20, outFeatures: 20 },
  { rank: 256, inFeatures: 16, outFeatures: 24 },
  { rank: 16, inFeatures: 300, outFeatures: 257 },
  { rank: 2, inFeatures: 8192, outFeatures: 3 },
];

export function randomShapes(count: number, seed: number): Shape[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () => {
    const inFeatures = random.integer(1, 150);
    const outFeatures = random.uniform() < 0.5 ? inFeatures : random.integer(1, 150);
    return { rank: random.integer(1, 20), inFeatures, outFeatures };
  });
}

const ROWS = 3;
const MAX_ENTRIES = 100;

export function gradientCases(context: SuiteContext): ConformanceCase[] {
  const shapes = [...AWKWARD_SHAPES, ...randomShapes(10, 2024)];
  const finite = shapes.map((shape, index): ConformanceCase => {
    const residual = shape.inFeatures === shape.outFeatures && index % 3 !== 0;
    const config: Partial<PoolConfig> = { ...shape, residual, scaling: [1, 0.25, 1.5][index % 3] };
    return {
      name: `gradient by finite differences: ${shapeName(shape)}${residual ? ', residual' : ''}`,
      run: () => withPool(context, config, (pool) => checkGradient(pool, index)),
    };
  });
  return [...finite, { name: 'gradient: alpha scales it like alpha', run: () => checkAlpha(context) }];
}

function checkGradient(pool: KernelPool, seed: number): void {
  const { config, layout } = pool;
  const random = new SeededRandom(seed);
  const workload = makeWorkload('one-user', { users: 1, rows: ROWS, capacity: config.capacity, seed });
  const batch = randomBatch(config, workload, random);
  batch.rowWeight = random.uniforms(ROWS, 0.2, 2);
  fillSlots(pool, workload.slots, random);
  const before = readStates(pool, workload.slots);

  // The loss is quadratic in any single weight, so that central differences are exact but for rounding at any width.
  const weights = Float64Array.from(before.slabs);
  const rows = oracleRows(config, batch, 0);
  const width = 0.125;
  const lossAt = (entry: number, value: number): number => {
    const kept = weights[entry];
    weights[entry] = value;
    const loss = oracleLoss(config, weights, rows);
    weights[entry] = kept;
    return loss;
  };
  const differences = (entries: number[]): number[] =>
    entries.map((i) => (lossAt(i, weights[i] + width) - lossAt(i, weights[i] - width)) / (2 * width));
  const entriesA = sampleEntries(random, 0, layout.loraALength);
  const entriesB = sampleEntries(random, layout.loraALength, layout.parameterCount);
  const wantA = differences(entriesA);
  const wantB = differences(entriesB);

  // A step that moves the weights by about 1, so that their rounding does not drown the gradient.
  const learningRate = Math.fround(1 / Math.max(maxMagnitude(wantA), maxMagnitude(wantB)));
  pool.update(
    { ...batch, learningRate: Float32Array.of(learningRate) },
    { loss: new Float32Array(1), gradNorm: new Float32Array(1), flags: new Uint8Array(1) },
  );
  const after = readStates(pool, workload.slots);
  const stepped = (entries: number[]): number[] =>
    entries.map((i) => (before.slabs[i] - after.slabs[i]) / learningRate);
  assertWithin('gradient of loraA', stepped(entriesA), wantA, BUDGETS.gradient);
  assertWithin('gradient of loraB', stepped(entriesB), wantB, BUDGETS.gradient);
}

/** Every entry, or for large matrices the corners and a random choice. */
function sampleEntries(random: SeededRandom, start: number, end: number): number[] {
  if (end - start <= MAX_ENTRIES) return Array.from({ length: end - start }, (_, i) => start + i);
  const entries = Array.from({ length: MAX_ENTRIES - 2 }, () => random.integer(start, end - 1));
  return [start, end - 1, ...entries];
}

/** With B = 0 the error does not depend on the scale, and the gradient of B is proportional to it. */
async function checkAlpha(context: SuiteContext): Promise<void> {
  const shape = { rank: 3, inFeatures: 20, outFeatures: 20 };
  const moves: Float64Array[] = [];
  for (const alpha of [1, 2, 8, 100]) {
    await withPool(
      context,
      { ...shape, residual: true, scaling: alpha / shape.rank, learningRate: 0.25 / alpha },
      (pool) => {
        const random = new SeededRandom(7);
        const slab = random.normals(pool.layout.slabLength).fill(0, pool.layout.loraALength);
        pool.write(uints(0), slab, uints(0));
        const batch = randomBatch(shape, makeWorkload('one-user', { users: 1, rows: 4, capacity: 1, seed: 0 }), random);
        pool.update(batch, { loss: new Float32Array(1), gradNorm: new Float32Array(1), flags: new Uint8Array(1) });
        const after = readStates(pool, uints(0)).slabs;
        moves.push(Float64Array.from(after, (value, i) => value - slab[i]));
      },
    );
  }
  for (const move of moves) assertWithin('step at learning rate 1/alpha', move, moves[0], BUDGETS.update);
  if (maxMagnitude(moves[0]) === 0) throw new Error('the step did not move');
}
