/** Training of the engine's adapters: each is written into a slot of its own, stepped or consolidated, and read back. */
import { type AdapterState, readFromSlab, writeToSlab } from '../adapter/state.js';
import { requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { KernelBackend, KernelPool, PoolConfig, UpdateBatch, UpdateReport } from '../kernels/contract.js';
import { SlotList } from '../kernels/slot-list.js';
import type { ConfiguredSettings } from '../reasoning/hints.js';
import { contrastiveLossOf } from './contrastive.js';
import { learningRateAt, poolConfigOf, type ResolvedConfig } from './options.js';
import { Retention } from './retention.js';
import { StepMemory } from './step-memory.js';
import { type FeedbackRows, isLongStep, lossOf, meanSquaredError, type StepRows } from './training-step.js';
import { nextAverageLoss, readUserMeta, toJson, type UserMeta } from './user-meta.js';

/** Long updates in flight at a time; each has a slot of its own while it runs. */
const SCRATCH_SLOTS = 65_536;

/** Is shown the adapter as it is before a step: its output for the rows, for now only, and what is known of it. */
export type StepObserver = (y: Float32Array, meta: UserMeta) => void;

export class AdapterTrainer {
  readonly #config: ResolvedConfig;
  readonly #pool: KernelPool;
  readonly #scratch = new SlotList(SCRATCH_SLOTS);
  /** Of steps that do not leave the main thread: each has come and gone before the next. */
  readonly #short: StepMemory;
  readonly #retention: Retention | undefined;

  constructor(backend: KernelBackend, config: ResolvedConfig) {
    this.#config = config;
    this.#pool = backend.createPool(poolConfigOf(config, SCRATCH_SLOTS));
    this.#short = this.#takeMemory();
    this.#retention = Retention.of(config);
  }

  get config(): Readonly<PoolConfig> {
    return this.#pool.config;
  }

  close(): void {
    this.#pool.close();
  }

  /** The next version of `previous`. */
  async train(
    previous: AdapterState,
    rows: FeedbackRows,
    settings: ConfiguredSettings,
    avgInferenceMs: number,
    observe?: StepObserver,
  ): Promise<AdapterState> {
    const meta = readUserMeta(previous.meta);
    const batchRows: StepRows = this.#retention?.withReplayOf(meta.userId, rows) ?? rows;
    const isLong = isLongStep(this.#pool, batchRows);
    const memory = isLong ? this.#takeMemory() : this.#short;
    try {
      const learningRate = learningRateAt(this.#config, meta.version - 1, settings.learningRate);
      this.#write(previous, memory);
      // no await for a short step, so that it has come and gone before anything else can run
      const trial = memory.apply(batchRows);
      const contrastive = contrastiveLossOf(this.#config, rows, meta);
      let { target } = batchRows;
      let contrastBefore = 0;
      if (observe || contrastive) {
        const y = isLong ? await this.#pool.applyAsync(trial) : this.#applyNow(trial, memory);
        observe?.(y.subarray(0, rows.x.length), meta);
        if (contrastive) {
          contrastBefore = contrastive.at(y);
          target = contrastive.targetsAt(y);
        }
      }
      const batch = memory.update(
        { ...batchRows, target },
        {
          learningRate,
          maxGradNorm: settings.clipThreshold,
          ewcLambda: this.#config.useEWC ? settings.ewcLambda : undefined,
        },
      );
      const report = isLong ? await this.#pool.updateAsync(batch) : this.#updateNow(batch, memory);
      const squaredError = lossOf(report);
      const lossBefore = contrastive ? contrastBefore : squaredError;
      const due = this.#retention?.observeOf(meta.userId, rows, lossBefore);
      const { slots } = memory;
      if (due) this.#pool.consolidate({ slots, ...due, decay: this.#config.consolidation.decay });
      const y = isLong ? await this.#pool.applyAsync(trial) : this.#applyNow(trial, memory);
      const after = contrastive ? contrastive.at(y) : meanSquaredError(y, batchRows.target);
      const lossAfter = requireNumber('loss after the step', after, {}, 'ERR_NOT_FINITE');
      const next = this.#read(previous, memory);
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
      if (isLong) this.#giveBack(memory);
    }
  }

  async consolidate(previous: AdapterState, rows: { rowOffsets: Uint32Array; x: Float32Array }): Promise<AdapterState> {
    const memory = this.#takeMemory();
    try {
      this.#write(previous, memory);
      const { slots } = memory;
      await this.#pool.consolidateAsync({ slots, ...rows, decay: this.#config.consolidation.decay });
      const next = this.#read(previous, memory);
      next.meta = toJson({ ...readUserMeta(previous.meta), updatedAt: Date.now() });
      return next;
    } finally {
      this.#giveBack(memory);
    }
  }

  #takeMemory(): StepMemory {
    const slot = this.#scratch.take();
    if (slot === undefined) throw new LorakeetError('ERR_POOL_FULL', `${SCRATCH_SLOTS} updates are already running`);
    return new StepMemory(this.#pool.layout, slot);
  }

  #giveBack({ slots }: StepMemory): void {
    this.#scratch.release(slots[0]);
  }

  #write(state: AdapterState, { slots, slab, steps }: StepMemory): void {
    steps[0] = writeToSlab(state, this.#pool.layout, slab);
    this.#pool.write(slots, slab, steps);
  }

  #read(previous: AdapterState, { slots, slab, steps }: StepMemory): AdapterState {
    this.#pool.read(slots, slab, steps);
    return readFromSlab(this.#pool.layout, slab, 0, steps[0], previous);
  }

  #applyNow(batch: { slots: Uint32Array; x: Float32Array }, memory: StepMemory): Float32Array {
    const y = memory.output(batch.x.length);
    this.#pool.apply(batch, y);
    return y;
  }

  #updateNow(batch: UpdateBatch, { report }: StepMemory): UpdateReport {
    this.#pool.update(batch, report);
    return report;
  }
}
