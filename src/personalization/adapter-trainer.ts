/** Training of the engine's adapters: each is written into a slot of its own, stepped or consolidated, and read back. */
import { type AdapterState, readFromSlab, writeToSlab } from '../adapter/state.js';
import { requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { KernelBackend, KernelPool, PoolConfig } from '../kernels/contract.js';
import { SlotList } from '../kernels/slot-list.js';
import type { ConfiguredSettings } from '../reasoning/hints.js';
import { contrastiveLossOf } from './contrastive.js';
import { learningRateAt, poolConfigOf, type ResolvedConfig } from './options.js';
import { Retention } from './retention.js';
import {
  type FeedbackRows,
  isLongStep,
  lossOf,
  meanSquaredError,
  type StepRows,
  stepBatch,
  updateNow,
} from './training-step.js';
import { nextAverageLoss, readUserMeta, toJson } from './user-meta.js';

/** Long updates in flight at a time; each has a slot of its own while it runs. */
const SCRATCH_SLOTS = 65_536;

export class AdapterTrainer {
  readonly #config: ResolvedConfig;
  readonly #pool: KernelPool;
  readonly #scratch = new SlotList(SCRATCH_SLOTS);
  readonly #retention: Retention | undefined;

  constructor(backend: KernelBackend, config: ResolvedConfig) {
    this.#config = config;
    this.#pool = backend.createPool(poolConfigOf(config, SCRATCH_SLOTS));
    this.#retention = Retention.of(config);
  }

  get config(): Readonly<PoolConfig> {
    return this.#pool.config;
  }

  close(): void {
    this.#pool.close();
  }

  /** The next version of `previous`. `observe` is shown its output for the rows as it is before the step. */
  async train(
    previous: AdapterState,
    rows: FeedbackRows,
    settings: ConfiguredSettings,
    avgInferenceMs: number,
    observe?: (y: Float32Array) => void,
  ): Promise<AdapterState> {
    const slot = this.#takeSlot();
    try {
      const { layout } = this.#pool;
      const meta = readUserMeta(previous.meta);
      const learningRate = learningRateAt(this.#config, meta.version - 1, settings.learningRate);
      const slots = Uint32Array.of(slot);
      const slab = new Float32Array(layout.slabLength);
      const steps = Uint32Array.of(writeToSlab(previous, layout, slab));
      this.#pool.write(slots, slab, steps);
      const batchRows: StepRows = this.#retention?.withReplayOf(meta.userId, rows) ?? rows;
      // no await for a short step, so that it has come and gone before anything else can run
      const isLong = isLongStep(this.#pool, batchRows);
      const trial = { slots: new Uint32Array(batchRows.count).fill(slot), x: batchRows.x };
      const contrastive = contrastiveLossOf(this.#config, rows, meta);
      let { target } = batchRows;
      let contrastBefore = 0;
      if (observe || contrastive) {
        const y = isLong ? await this.#pool.applyAsync(trial) : this.#apply(trial);
        observe?.(y.subarray(0, rows.x.length));
        if (contrastive) {
          contrastBefore = contrastive.at(y);
          target = contrastive.targetsAt(y);
        }
      }
      const batch = stepBatch(
        slot,
        { ...batchRows, target },
        {
          learningRate,
          maxGradNorm: settings.clipThreshold,
          ...(this.#config.useEWC && { ewcLambda: settings.ewcLambda }),
        },
      );
      const report = isLong ? await this.#pool.updateAsync(batch) : updateNow(this.#pool, batch);
      const squaredError = lossOf(report);
      const lossBefore = contrastive ? contrastBefore : squaredError;
      const due = this.#retention?.observeOf(meta.userId, rows, lossBefore);
      if (due) this.#pool.consolidate({ slots, ...due, decay: this.#config.consolidation.decay });
      this.#pool.read(slots, slab, steps);
      const y = isLong ? await this.#pool.applyAsync(trial) : this.#apply(trial);
      const after = contrastive ? contrastive.at(y) : meanSquaredError(y, batchRows.target);
      const lossAfter = requireNumber('loss after the step', after, {}, 'ERR_NOT_FINITE');
      const next = readFromSlab(layout, slab, 0, steps[0], previous);
      const now = Date.now();
      next.meta = toJson({
        ...meta,
        version: meta.version + 1,
        updatedAt: now,
        lastTrainedAt: now,
        totalSamples: meta.totalSamples + rows.count,
        avgLoss: nextAverageLoss(meta.avgLoss, meta.version - 1, lossBefore),
        learningRate,
        lastBatch: { lossBefore, lossAfter },
        avgInferenceMs,
      });
      return next;
    } finally {
      this.#scratch.release(slot);
    }
  }

  async consolidate(previous: AdapterState, rows: { rowOffsets: Uint32Array; x: Float32Array }): Promise<AdapterState> {
    const slot = this.#takeSlot();
    try {
      const { layout } = this.#pool;
      const slots = Uint32Array.of(slot);
      const slab = new Float32Array(layout.slabLength);
      const steps = Uint32Array.of(writeToSlab(previous, layout, slab));
      this.#pool.write(slots, slab, steps);
      await this.#pool.consolidateAsync({ slots, ...rows, decay: this.#config.consolidation.decay });
      this.#pool.read(slots, slab, steps);
      const next = readFromSlab(layout, slab, 0, steps[0], previous);
      next.meta = toJson({ ...readUserMeta(previous.meta), updatedAt: Date.now() });
      return next;
    } finally {
      this.#scratch.release(slot);
    }
  }

  #takeSlot(): number {
    const slot = this.#scratch.take();
    if (slot === undefined) throw new LorakeetError('ERR_POOL_FULL', `${SCRATCH_SLOTS} updates are already running`);
    return slot;
  }

  #apply(batch: { slots: Uint32Array; x: Float32Array }): Float32Array {
    const y = new Float32Array(batch.x.length);
    this.#pool.apply(batch, y);
    return y;
  }
}
