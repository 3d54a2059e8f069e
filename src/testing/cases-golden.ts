/** Expectations computed by an independent implementation; test/golden/make_kernels.py writes them with PyTorch. */
import { type KernelPool, type OptimizerConfig, type PoolConfig, UpdateFlag } from '../kernels/contract.js';
import { type SlabSection, sectionView } from '../kernels/layout.js';
import { BUDGETS } from './budgets.js';
import { assertMatrices, assertState } from './fixtures.js';
import {
  assertExact,
  assertWithin,
  type ConformanceCase,
  readStates,
  runUpdate,
  type SlotStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { oracleState } from './oracle.js';

export interface KernelGoldens {
  /** What computed them. */
  source: string;
  cases: GoldenCase[];
}

type Section = Partial<Record<SlabSection, number[]>>;

export interface GoldenCase {
  name: string;
  config: Pick<PoolConfig, 'rank' | 'inFeatures' | 'outFeatures' | 'scaling' | 'residual' | 'ewc' | 'learningRate'> & {
    optimizer: OptimizerConfig;
    /** null: never clip */
    maxGradNorm: number | null;
  };
  state: Section;
  apply: { x: number[]; y: number[] };
  updates: {
    x: number[];
    target: number[];
    rowWeight: number[] | null;
    loss: number;
    gradNorm: number;
    clipped: boolean;
  }[];
  /** After the updates. */
  updated: Section;
  /** From `state`, without the updates. */
  consolidate: { x: number[]; decay: number; fisher: number[] } | null;
}

const SLOT = uints(2);

export function goldenCases(context: SuiteContext, goldens: KernelGoldens): ConformanceCase[] {
  return goldens.cases.map((golden) => ({
    name: `golden: ${golden.name}`,
    run: () => {
      const config = { ...golden.config, maxGradNorm: golden.config.maxGradNorm ?? Infinity };
      return withPool(context, config, (pool) => {
        checkGoldenApply(pool, golden);
        checkGoldenConsolidate(pool, golden);
        checkGoldenUpdates(pool, golden);
      });
    },
  }));
}

/** Writes the golden's state into the slot; sections that it does not name stay zero. */
function restore(pool: KernelPool, state: Section): SlotStates {
  pool.write(SLOT, toSlab(pool, state), uints(0));
  return readStates(pool, SLOT);
}

function toSlab({ layout }: KernelPool, state: Section): Float32Array {
  const slab = new Float32Array(layout.slabLength);
  for (const section of layout.sections) sectionView(layout, slab, section)?.set(state[section] ?? []);
  return slab;
}

function checkGoldenApply(pool: KernelPool, { state, apply }: GoldenCase): void {
  restore(pool, state);
  const y = new Float32Array(apply.y.length);
  const rows = y.length / pool.config.outFeatures;
  pool.apply({ slots: new Uint32Array(rows).fill(SLOT[0]), x: Float32Array.from(apply.x) }, y);
  assertWithin('y', y, apply.y, BUDGETS.apply);
}

function checkGoldenConsolidate(pool: KernelPool, { state, consolidate }: GoldenCase): void {
  if (!consolidate) return;
  const before = restore(pool, state);
  const { decay, fisher } = consolidate;
  const x = Float32Array.from(consolidate.x);
  pool.consolidate({ slots: SLOT, rowOffsets: uints(0, x.length / pool.config.inFeatures), x, decay });
  const after = readStates(pool, SLOT);
  const got = sectionView(pool.layout, after.slabs, 'fisher') as Float32Array;
  assertMatrices('fisher', pool.layout, got, fisher, fisher, BUDGETS.fisher);
  const anchor = sectionView(pool.layout, after.slabs, 'anchor') as Float32Array;
  assertExact('anchor', anchor, sectionView(pool.layout, before.slabs, 'weights') as Float32Array);
}

function checkGoldenUpdates(pool: KernelPool, { state, updates, updated }: GoldenCase): void {
  const before = restore(pool, state);
  updates.forEach(({ x, target, rowWeight, loss, gradNorm, clipped }, step) => {
    const report = runUpdate(pool, {
      slots: SLOT,
      rowOffsets: uints(0, x.length / pool.config.inFeatures),
      x: Float32Array.from(x),
      target: Float32Array.from(target),
      rowWeight: rowWeight ? Float32Array.from(rowWeight) : undefined,
    });
    // from the second update on, the weights carry the rounding of those before
    const budget = step === 0 ? BUDGETS.report : BUDGETS.steps;
    assertWithin(`loss of update ${step}`, report.loss, [loss], budget);
    assertWithin(`gradNorm of update ${step}`, report.gradNorm, [gradNorm], budget);
    assertExact(`flags of update ${step}`, report.flags, [clipped ? UpdateFlag.CLIPPED : 0]);
  });
  const start = oracleState(pool.layout, before.slabs, 0);
  const want = { ...start, step: updates.length };
  for (const section of ['weights', 'moment1', 'moment2'] as const) {
    if (updated[section]) want[section] = Float64Array.from(updated[section]);
  }
  assertState(pool, readStates(pool, SLOT), 0, want, start, updates.length === 1 ? BUDGETS.update : BUDGETS.steps);
}
