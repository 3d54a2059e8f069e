/**
 * Backends that are wrong on purpose, each in one way that real implementations have been wrong in. A suite that lets one
 * of them pass could not tell a right backend from it; test/kernels/mutants.test.ts asserts that none does.
 */
import { roundToNearest } from '../kernels/bf16.js';
import { type KernelBackend, type UpdateBatch, UpdateFlag, type UpdateReport } from '../kernels/contract.js';
import { sectionView } from '../kernels/layout.js';
import { newReport, readStates, type SlotStates, uints } from './harness.js';
import { MutantPool, type Spoils } from './mutant-pool.js';

export interface Mutant {
  name: string;
  /** How the names of cases begin that must catch it: failing elsewhere, by accident, does not count. */
  caughtBy: string;
  spoils: Spoils;
}

/** `backend`, wrong in the mutant's way. */
export function mutate(backend: KernelBackend, { spoils }: Mutant): KernelBackend {
  return {
    ...backend,
    createPool: (config) => {
      const right = backend.createPool(config); // refuses a bad config
      if (!spoils.config) return new MutantPool(right, right.config, spoils);
      right.close();
      return new MutantPool(backend.createPool(spoils.config(config)), right.config, spoils);
    },
  };
}

function rates(pool: MutantPool, batch: UpdateBatch): Float32Array {
  return batch.learningRate ?? new Float32Array(batch.slots.length).fill(pool.config.learningRate);
}

function bounds(pool: MutantPool, batch: UpdateBatch): Float32Array {
  return batch.maxGradNorm ?? new Float32Array(batch.slots.length).fill(pool.config.maxGradNorm);
}

function section(pool: MutantPool, states: SlotStates, name: 'weights' | 'fisher' | 'anchor', index: number) {
  return sectionView(pool.layout, states.slabs, name, index) as Float32Array;
}

/** A mutant whose step is right, and then moves one weight of the last slot by its last bit. */
function nudge(pool: MutantPool, batch: UpdateBatch, report: UpdateReport, when: boolean): void {
  pool.inner.update(batch, report);
  if (!when) return;
  pool.change(batch.slots.slice(-1), 'weights', (weights) => {
    new Uint32Array(weights.buffer, weights.byteOffset, 1)[0] ^= 1;
  });
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'scale divided instead of multiplied',
    caughtBy: 'apply',
    spoils: { config: (config) => ({ ...config, scaling: 1 / config.scaling }) },
  },
  {
    name: 'y with 13 significant bits',
    caughtBy: 'apply',
    spoils: {
      apply: (_pool, _batch, y) => {
        const bits = new Uint32Array(y.buffer, y.byteOffset, y.length);
        for (let i = 0; i < y.length; i++) bits[i] &= ~0x7ff;
      },
    },
  },
  {
    name: 'gradient off by a factor',
    caughtBy: 'gradient',
    spoils: {
      update: (pool, batch, report) =>
        pool.inner.update({ ...batch, learningRate: rates(pool, batch).map((rate) => rate * 1.01) }, report),
    },
  },
  {
    name: 'anchor ignored',
    caughtBy: 'update',
    spoils: {
      update: (pool, batch, report, before) => {
        pool.change(batch.slots, 'anchor', (anchor) => anchor.fill(0));
        pool.inner.update(batch, report);
        pool.change(batch.slots, 'anchor', (anchor, index) => anchor.set(section(pool, before, 'anchor', index)));
      },
    },
  },
  {
    name: 'EWC before the step',
    caughtBy: 'update',
    spoils: {
      update: (pool, batch, report, before) => {
        const { ewc } = pool.config;
        if (ewc?.form !== 'proximal') return pool.inner.update(batch, report);
        pool.change(batch.slots, 'weights', (weights, index) => {
          const fisher = section(pool, before, 'fisher', index);
          const anchor = section(pool, before, 'anchor', index);
          const rate = rates(pool, batch)[index] * (batch.ewcLambda?.[index] ?? ewc.lambda);
          for (let i = 0; i < weights.length; i++) {
            weights[i] = (weights[i] + rate * fisher[i] * anchor[i]) / (1 + rate * fisher[i]);
          }
        });
        pool.inner.update({ ...batch, ewcLambda: new Float32Array(batch.slots.length) }, report);
      },
    },
  },
  {
    name: 'Fisher of the mean row',
    caughtBy: 'consolidate',
    spoils: {
      consolidate: (pool, batch) => {
        const { slots, rowOffsets, x } = batch;
        if (!(x instanceof Float32Array)) return pool.inner.consolidate(batch);
        const features = pool.config.inFeatures;
        const means = new Float32Array(slots.length * features);
        for (let user = 0; user < slots.length; user++) {
          const [first, end] = [rowOffsets[user], rowOffsets[user + 1]];
          for (let i = first * features; i < end * features; i++) {
            means[user * features + (i % features)] += x[i] / (end - first);
          }
        }
        pool.inner.consolidate({ ...batch, rowOffsets: uints(...slots.keys(), slots.length), x: means });
      },
    },
  },
  {
    name: 'decay of the Fisher ignored',
    caughtBy: 'consolidate',
    spoils: { consolidate: (pool, batch) => pool.inner.consolidate({ ...batch, decay: 1 }) },
  },
  {
    name: 'single precision where bf16 was asked for',
    caughtBy: 'bf16: write and read',
    spoils: { config: (config) => ({ ...config, stateDtype: 'fp32' }) },
  },
  {
    name: 'a Fisher in bf16 rounded to nearest',
    caughtBy: 'bf16: many small contributions',
    spoils: {
      config: (config) => ({ ...config, stateDtype: 'fp32' }),
      consolidate: (pool, batch) => {
        pool.inner.consolidate(batch);
        if (pool.config.stateDtype === 'bf16') pool.change(batch.slots, 'fisher', roundToNearest);
      },
    },
  },
  {
    // for SGD without weight decay and EWC, where the step tells the gradient
    name: 'clip per matrix',
    caughtBy: 'by hand: clipping',
    spoils: {
      update: (pool, batch, report, before) => {
        const { optimizer, ewc } = pool.config;
        if (optimizer.kind !== 'sgd' || optimizer.weightDecay > 0 || ewc) return pool.inner.update(batch, report);
        const unbounded = new Float32Array(batch.slots.length).fill(Infinity);
        pool.inner.update({ ...batch, maxGradNorm: unbounded }, report);
        const { loraALength, parameterCount } = pool.layout;
        pool.change(batch.slots, 'weights', (weights, index) => {
          const start = section(pool, before, 'weights', index);
          const bound = bounds(pool, batch)[index] * rates(pool, batch)[index];
          for (const [first, end] of [
            [0, loraALength],
            [loraALength, parameterCount],
          ]) {
            const step = weights.slice(first, end).map((value, i) => value - start[first + i]);
            const length = Math.hypot(...step);
            for (let i = first; i < end && length > bound; i++)
              weights[i] = start[i] + (bound / length) * step[i - first];
          }
          if (report.gradNorm[index] > bounds(pool, batch)[index]) report.flags[index] |= UpdateFlag.CLIPPED;
        });
      },
    },
  },
  {
    name: 'row weight ignored',
    caughtBy: 'update',
    spoils: {
      update: (pool, batch, report) => {
        const rowWeight = batch.rowWeight?.map((weight) => (weight > 0 ? 1 : 0));
        pool.inner.update({ ...batch, rowWeight }, report);
      },
    },
  },
  {
    name: 'no bias correction',
    caughtBy: 'update: AdamW',
    spoils: {
      update: (pool, batch, report, before) => {
        pool.inner.write(
          batch.slots,
          before.slabs,
          before.steps.map(() => 1e6),
        );
        pool.inner.update(batch, report);
        const { slabs } = readStates(pool.inner, batch.slots);
        const steps = before.steps.map((step, i) => step + (report.flags[i] > UpdateFlag.CLIPPED ? 0 : 1));
        pool.inner.write(batch.slots, slabs, steps);
      },
    },
  },
  {
    name: 'step counter stands still',
    caughtBy: 'update',
    spoils: {
      update: (pool, batch, report, before) => {
        pool.inner.update(batch, report);
        pool.inner.write(batch.slots, readStates(pool.inner, batch.slots).slabs, before.steps);
      },
    },
  },
  {
    name: 'weight decay ignored',
    caughtBy: 'update',
    spoils: { config: (config) => ({ ...config, optimizer: { ...config.optimizer, weightDecay: 0 } }) },
  },
  {
    name: 'residual dropped in the loss',
    caughtBy: 'update',
    spoils: {
      update: (pool, batch, report) => {
        const { x, target } = batch;
        const vectors = x instanceof Float32Array && target instanceof Float32Array;
        const moved = pool.config.residual && vectors ? target.map((value, i) => value + x[i]) : target;
        pool.inner.update({ ...batch, target: moved }, report);
      },
    },
  },
  {
    name: 'loss after the step',
    caughtBy: 'by hand: one SGD step',
    spoils: {
      update: (pool, batch, report) => {
        pool.inner.update(batch, report);
        const after = readStates(pool.inner, batch.slots);
        const second = newReport(batch.slots.length);
        pool.inner.update(batch, second);
        report.loss.set(second.loss);
        pool.inner.write(batch.slots, after.slabs, after.steps);
      },
    },
  },
  {
    name: 'norm after clipping',
    caughtBy: 'by hand: clipping',
    spoils: {
      update: (pool, batch, report) => {
        pool.inner.update(batch, report);
        report.gradNorm.forEach((norm, i) => {
          report.gradNorm[i] = Math.min(norm, bounds(pool, batch)[i]);
        });
      },
    },
  },
  {
    name: 'a poisoned row taken for zeros',
    caughtBy: 'rejection',
    spoils: {
      update: (pool, batch, report) => {
        const x = batch.x.map((value) => (Number.isFinite(value) ? value : 0)) as typeof batch.x;
        pool.inner.update({ ...batch, x }, report);
      },
    },
  },
  {
    name: 'one poisoned slot stops its neighbours',
    caughtBy: 'rejection',
    spoils: {
      update: (pool, batch, report, before) => {
        pool.inner.update(batch, report);
        if (report.flags.includes(UpdateFlag.REJECTED)) pool.inner.write(batch.slots, before.slabs, before.steps);
      },
    },
  },
  {
    name: 'result depends on the company, in one bit',
    caughtBy: 'determinism: alone',
    spoils: { update: (pool, batch, report) => nudge(pool, batch, report, batch.slots.length > 1) },
  },
  {
    name: 'result depends on the threads, in one bit',
    caughtBy: 'determinism: threads',
    spoils: { update: (pool, batch, report) => nudge(pool, batch, report, pool.config.threads === 7) },
  },
  {
    name: 'duplicate slots are taken one after another',
    caughtBy: 'batches: update and consolidate refuse',
    spoils: {
      refused: (pool, batch, report, error) => {
        if ((error as { code?: string }).code !== 'ERR_DUPLICATE_SLOT') throw error;
        pool.inner.update({ ...batch, slots: batch.slots.map((_, i) => i) }, report);
      },
    },
  },
  {
    name: 'half the work done before a mistake is noticed',
    caughtBy: 'bad input: update',
    spoils: {
      refused: (pool, _batch, _report, error) => {
        pool.change(uints(0), 'weights', (weights) => weights.reverse());
        throw error;
      },
    },
  },
  {
    name: "the caller's item table used instead of a copy",
    caughtBy: 'slots: items',
    spoils: {
      apply: (pool, batch, y) => {
        const matrix = boundTables.get(pool);
        if (!matrix || batch.x instanceof Float32Array) return;
        pool.inner.bindItems(matrix);
        pool.inner.apply(batch, y);
      },
      bindItems: (pool, matrix) => boundTables.set(pool, matrix),
    },
  },
  {
    name: 'asynchronous calls run in reverse',
    caughtBy: 'async: many calls',
    spoils: {
      updateAsync: async (pool, batch) => {
        const report = newReport(batch?.slots?.length ?? 0);
        const waiting = stacks.get(pool) ?? [];
        stacks.set(pool, waiting);
        const done = new Promise<void>((resolve, reject) => {
          waiting.push(() => {
            try {
              resolve(pool.update(batch, report));
            } catch (error) {
              reject(error);
            }
          });
        });
        setImmediate(() => waiting.pop()?.());
        await done;
        return report;
      },
    },
  },
];

const boundTables = new WeakMap<MutantPool, Float32Array | null>();
const stacks = new WeakMap<MutantPool, (() => void)[]>();
