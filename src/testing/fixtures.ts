/** Random slots and batches of sensible scale, and the comparison of a backend with the oracle on them. */
import type { KernelPool, PoolConfig, Rows, UpdateBatch, UpdateReport } from '../kernels/contract.js';
import { type SlabLayout, type SlabSection, sectionView } from '../kernels/layout.js';
import { BUDGETS } from './budgets.js';
import { assertExact, assertWithin, maxMagnitude, readStates, runUpdate, type SlotStates } from './harness.js';
import { type OracleParameters, type OracleRow, type OracleState, oracleState, oracleUpdate } from './oracle.js';
import type { SeededRandom } from './random.js';
import type { Workload } from './workloads.js';

export type Shape = Pick<PoolConfig, 'rank' | 'inFeatures' | 'outFeatures'>;

export function shapeName({ rank, inFeatures, outFeatures }: Shape): string {
  return `${inFeatures} -> ${outFeatures}, rank ${rank}`;
}

/** Fills slots so that A·x, B·A·x and the state of the optimizer are of the order of 1. */
export function fillSlots(pool: KernelPool, slots: Uint32Array, random: SeededRandom): void {
  const { layout, config } = pool;
  const slabs = new Float32Array(slots.length * layout.slabLength);
  const scaleA = 1 / Math.sqrt(config.inFeatures);
  const scaleB = 1 / Math.sqrt(config.rank);
  const fill: Record<SlabSection, (index: number) => number> = {
    weights: (index) => random.normal(index < layout.loraALength ? scaleA : scaleB),
    fisher: () => random.uniform(0, 2),
    anchor: (index) => random.normal(index < layout.loraALength ? scaleA : scaleB),
    moment1: () => random.normal(0.03),
    moment2: () => random.uniform(1e-4, 1e-2),
  };
  for (let slot = 0; slot < slots.length; slot++) {
    for (const section of layout.sections) {
      const view = sectionView(layout, slabs, section, slot);
      for (let i = 0; view && i < view.length; i++) view[i] = fill[section](i);
    }
  }
  pool.write(slots, slabs, random.integers(slots.length, 0, 9));
}

/** An update batch of random rows for a workload. */
export function randomBatch(config: Shape, workload: Workload, random: SeededRandom): UpdateBatch {
  const rows = workload.rowSlots.length;
  return {
    slots: workload.slots,
    rowOffsets: workload.rowOffsets,
    x: random.normals(rows * config.inFeatures),
    target: random.normals(rows * config.outFeatures),
  };
}

/** Row `index` of rows given as vectors. */
export function rowVector(rows: Rows, features: number, index: number): Float32Array {
  return (rows as Float32Array).subarray(index * features, (index + 1) * features);
}

export function oracleRows(config: Shape, batch: UpdateBatch, user: number): OracleRow[] {
  const rows: OracleRow[] = [];
  for (let i = batch.rowOffsets[user]; i < batch.rowOffsets[user + 1]; i++) {
    rows.push({
      x: rowVector(batch.x, config.inFeatures, i),
      target: rowVector(batch.target, config.outFeatures, i),
      weight: batch.rowWeight?.[i] ?? 1,
    });
  }
  return rows;
}

export function oracleParameters(config: PoolConfig, batch: UpdateBatch, user: number): OracleParameters {
  return {
    learningRate: batch.learningRate?.[user] ?? config.learningRate,
    maxGradNorm: batch.maxGradNorm?.[user] ?? config.maxGradNorm,
    ewcLambda: batch.ewcLambda?.[user] ?? config.ewc?.lambda ?? 0,
  };
}

/** loraA and loraB of one section, each against its own scale: the largest magnitude in `scaleOf`. */
export function assertMatrices(
  what: string,
  layout: SlabLayout,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  scaleOf: ArrayLike<number>,
  budget: number,
): void {
  const matrices = { loraA: [0, layout.loraALength], loraB: [layout.loraALength, layout.parameterCount] };
  const part = (values: ArrayLike<number>, [start, end]: number[]): number[] => Array.from(values).slice(start, end);
  for (const [name, bounds] of Object.entries(matrices)) {
    const scale = maxMagnitude(part(scaleOf, bounds));
    assertWithin(`${what} ${name}`, part(got, bounds), part(want, bounds), budget, scale);
  }
}

/** The state of slot `index` of `got` against the oracle's. */
export function assertState(
  pool: KernelPool,
  got: SlotStates,
  index: number,
  want: OracleState,
  before: OracleState,
  budget: number = BUDGETS.update,
): void {
  const what = `slot #${index}`;
  const weights = sectionView(pool.layout, got.slabs, 'weights', index) as Float32Array;
  const change = want.weights.map((value, i) => value - before.weights[i]);
  assertMatrices(`${what} weights`, pool.layout, weights, want.weights, change, budget);
  for (const section of ['moment1', 'moment2'] as const) {
    const view = sectionView(pool.layout, got.slabs, section, index);
    if (view) assertMatrices(`${what} ${section}`, pool.layout, view, want[section], want[section], budget);
  }
  for (const section of ['fisher', 'anchor'] as const) {
    const view = sectionView(pool.layout, got.slabs, section, index);
    if (view) assertExact(`${what} ${section}`, view, want[section]);
  }
  assertExact(`${what} step`, [got.steps[index]], [want.step]);
}

/** Runs one update and holds every slot's state and report to the oracle. */
export function checkUpdate(pool: KernelPool, batch: UpdateBatch): UpdateReport {
  const before = readStates(pool, batch.slots);
  const report = runUpdate(pool, batch);
  const after = readStates(pool, batch.slots);
  for (let user = 0; user < batch.slots.length; user++) {
    const start = oracleState(pool.layout, before.slabs, before.steps[user], user);
    const parameters = oracleParameters(pool.config, batch, user);
    const want = oracleUpdate(pool.config, start, oracleRows(pool.config, batch, user), parameters);
    assertState(pool, after, user, want.state, start);
    assertWithin(`loss of slot #${user}`, [report.loss[user]], [want.loss], BUDGETS.report);
    assertWithin(`gradNorm of slot #${user}`, [report.gradNorm[user]], [want.gradNorm], BUDGETS.report);
    assertExact(`flags of slot #${user}`, [report.flags[user]], [want.flags]);
  }
  return report;
}
