/** The documented engine: adapters are plain objects that the caller keeps; every update returns a new one. */
import { decodeAdapter, encodeAdapter } from '../adapter/codec.js';
import { type AdapterShape, requireSameShape } from '../adapter/config.js';
import { type AdapterState, readFromSlab, writeToSlab } from '../adapter/state.js';
import { fail, requireNumber, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { KernelPool } from '../kernels/contract.js';
import { initialState, recordOf, stateOf, writeWeights } from './adapter-record.js';
import { openBackend } from './backend.js';
import { gatherFeedback, requireUserId } from './feedback.js';
import { adapterShapeOf, learningRateAt, poolConfigOf, type ResolvedConfig, resolveConfig } from './options.js';
import { SlotList } from './slot-list.js';
import { type FeedbackRows, isLongStep, lossOf, meanSquaredError, stepBatch, updateNow } from './training-step.js';
import type { AdapterFeedback, BackendInfo, LoRAConfig, UserLoRAAdapter, UserPreferences } from './types.js';
import { UpdateChains } from './update-chains.js';
import { newUserMeta, nextAverageLoss, readUserMeta, toJson } from './user-meta.js';

/** Long updates in flight at a time; each has a slot of its own while it runs. */
const SCRATCH_SLOTS = 65_536;

/** The slot, and the step count, of an adapter that is only applied. */
const ONE_ZERO = new Uint32Array(1);

/** Decay of the moving average of forward times. */
const TIMING_DECAY = 0.9;

/** As `new LoRAPersonalizationEngine(config)`. */
export function createLoRAPersonalizationEngine(config?: LoRAConfig): LoRAPersonalizationEngine {
  return new LoRAPersonalizationEngine(config);
}

/**
 * Personalizes embeddings with one LoRA adapter per user. The engine keeps no adapters: it makes, applies, trains and
 * serializes objects that the caller stores. For services with many users, AdapterPool keeps them in the backend.
 */
export class LoRAPersonalizationEngine {
  /** What executes, and why it and no faster backend. */
  readonly backend: Readonly<BackendInfo>;
  readonly #config: ResolvedConfig;
  readonly #shape: Required<AdapterShape>;
  /** Where updates happen: written, stepped, read back. */
  readonly #training: KernelPool;
  readonly #scratch = new SlotList(SCRATCH_SLOTS);
  /** Where adapters are applied; holds weights only, so that little is written for every call. */
  readonly #forward: KernelPool;
  readonly #forwardWeights: Float32Array;
  readonly #chains = new UpdateChains<UserLoRAAdapter>();
  readonly #running = new Set<Promise<unknown>>();
  #averageForwardMs = 0;
  #forwardCalls = 0;
  #closed = false;

  /**
   * Throws ERR_INVALID_CONFIG naming the option that is unknown or out of range, and ERR_BACKEND_UNAVAILABLE if a backend
   * was asked for by name and cannot be used.
   */
  constructor(config?: LoRAConfig) {
    this.#config = resolveConfig(config);
    this.#shape = adapterShapeOf(this.#config);
    const { backend, info } = openBackend(this.#config);
    this.backend = info;
    this.#training = backend.createPool(poolConfigOf(this.#config, SCRATCH_SLOTS));
    const weightsOnly = { optimizer: { kind: 'sgd', weightDecay: 0 }, ewc: null } as const;
    this.#forward = backend.createPool({ ...poolConfigOf(this.#config, 1), ...weightsOnly });
    this.#forwardWeights = new Float32Array(this.#forward.layout.slabLength);
  }

  /** All settings in effect, as new objects: `createLoRAPersonalizationEngine(engine.getConfig())` makes an equal engine. */
  getConfig(): ResolvedConfig {
    const { optimizer, learningRateSchedule } = this.#config;
    return { ...this.#config, optimizer: { ...optimizer }, learningRateSchedule: { ...learningRateSchedule } };
  }

  /**
   * A fresh adapter, version 1. Without preferences it is the identity map until it learns; with a preference vector p it
   * stretches what lies along p: y = x + 0.1·confidence·(p·x)·p for p of length 1. It depends on the engine's seed, the
   * user and the preferences only. Throws ERR_INVALID_ARGUMENT (a userId that is no string or empty), or for the vector
   * ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, and ERR_OUT_OF_RANGE for a confidence outside 0 … 1.
   */
  createAdapter(userId: string, initialPreferences?: UserPreferences): UserLoRAAdapter {
    this.#requireOpen();
    requireUserId('userId', userId);
    const { useEWC, optimizer, seed, learningRate } = this.#config;
    const meta = newUserMeta(userId, learningRate, Date.now(), this.#averageForwardMs);
    const has = { ewc: useEWC, moments: optimizer.kind === 'adamw' };
    return recordOf(initialState(this.#shape, meta, seed, has, initialPreferences));
  }

  /**
   * One optimizer step on all rows of `feedback`: a new adapter, version + 1; `adapter` itself is not touched. Without
   * feedback it is `adapter` itself that comes back.
   *
   * An update called while another one of the same object (or of a result of that) is running starts from that one's
   * result: of twenty called at once the last to resolve is version + 20 and holds all of them. Its rows are copied when
   * it is called. Once none is running, an old object is updated as it is.
   *
   * Rejects, with nothing changed, with ERR_ADAPTER_MISMATCH (other rank, embeddingDim or scaling than the engine's),
   * ERR_USER_MISMATCH (a watchEvent of another user), ERR_LENGTH_MISMATCH, ERR_NOT_FINITE (also when loss or gradient
   * overflow), ERR_OUT_OF_RANGE (reward outside 0 … 1) or ERR_INVALID_ARGUMENT.
   */
  async updateAdapter(adapter: UserLoRAAdapter, feedback: readonly AdapterFeedback[]): Promise<UserLoRAAdapter> {
    this.#requireOpen();
    if (!Array.isArray(feedback)) fail('ERR_INVALID_ARGUMENT', 'feedback', feedback, 'an array of AdapterFeedback');
    const previous = this.#requireOwn(adapter);
    const rows = gatherFeedback(feedback, adapter.userId, this.#config.embeddingDim);
    if (feedback.length === 0) return adapter;
    const update = this.#chains.run(adapter, (newest) =>
      this.#train(newest === adapter ? previous : stateOf(newest), { ...rows, count: feedback.length }),
    );
    this.#running.add(update);
    return update.finally(() => this.#running.delete(update));
  }

  /**
   * base + (scalingFactor/rank)·B·(A·base), a new array [embeddingDim]; changes nothing. Throws ERR_LENGTH_MISMATCH,
   * ERR_NOT_FINITE, ERR_ADAPTER_MISMATCH or ERR_INVALID_ARGUMENT.
   */
  computeLoRAForward(baseEmbedding: Float32Array, adapter: UserLoRAAdapter): Float32Array {
    this.#requireOpen();
    return this.#apply(requireVector('baseEmbedding', baseEmbedding, this.#config.embeddingDim), adapter);
  }

  /** computeLoRAForward of every embedding, in one call of the backend; the results are views of one array. */
  batchComputeLoRAForward(baseEmbeddings: readonly Float32Array[], adapter: UserLoRAAdapter): Float32Array[] {
    this.#requireOpen();
    if (!Array.isArray(baseEmbeddings)) {
      fail('ERR_INVALID_ARGUMENT', 'baseEmbeddings', baseEmbeddings, 'an array of Float32Array');
    }
    const { embeddingDim } = this.#config;
    const x = new Float32Array(baseEmbeddings.length * embeddingDim);
    for (let i = 0; i < baseEmbeddings.length; i++) {
      x.set(requireVector(`baseEmbeddings[${i}]`, baseEmbeddings[i], embeddingDim), i * embeddingDim);
    }
    const y = this.#apply(x, adapter);
    return Array.from(baseEmbeddings, (_, i) => y.subarray(i * embeddingDim, (i + 1) * embeddingDim));
  }

  /** All of the adapter in bytes (docs/adapter-format.md), optimizer state included. Throws a coded error for a broken one. */
  serializeAdapter(adapter: UserLoRAAdapter): Uint8Array {
    return encodeAdapter(stateOf(adapter));
  }

  /**
   * The adapter that serializeAdapter wrote, bit for bit, of whatever rank and dimension. Throws ERR_ADAPTER_CORRUPT or
   * ERR_ADAPTER_VERSION for bytes that are none.
   */
  deserializeAdapter(bytes: Uint8Array): UserLoRAAdapter {
    return recordOf(decodeAdapter(bytes));
  }

  /** Frees the backend's memory once running updates are done. Later calls that compute throw ERR_POOL_CLOSED. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
    this.#training.close();
    this.#forward.close();
  }

  async #train(previous: AdapterState, rows: FeedbackRows): Promise<UserLoRAAdapter> {
    const slot = this.#scratch.take();
    if (slot === undefined) throw new LorakeetError('ERR_POOL_FULL', `${SCRATCH_SLOTS} updates are already running`);
    try {
      const { layout } = this.#training;
      const meta = readUserMeta(previous.meta);
      const learningRate = learningRateAt(this.#config, meta.version - 1);
      const slots = Uint32Array.of(slot);
      const slab = new Float32Array(layout.slabLength);
      const steps = Uint32Array.of(writeToSlab(previous, layout, slab));
      this.#training.write(slots, slab, steps);
      // no await for a short step, so that it has come and gone before anything else can run
      const isLong = isLongStep(this.#training, rows);
      const batch = stepBatch(slot, rows, learningRate);
      const report = isLong ? await this.#training.updateAsync(batch) : updateNow(this.#training, batch);
      const lossBefore = lossOf(report);
      this.#training.read(slots, slab, steps);
      const trial = { slots: new Uint32Array(rows.count).fill(slot), x: rows.x };
      const y = isLong ? await this.#training.applyAsync(trial) : this.#applyNow(this.#training, trial);
      const mse = meanSquaredError(y, rows.target);
      const lossAfter = requireNumber('loss after the step', mse, {}, 'ERR_NOT_FINITE');
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
        avgInferenceMs: this.#averageForwardMs,
      });
      return recordOf(next);
    } finally {
      this.#scratch.release(slot);
    }
  }

  #apply(x: Float32Array, adapter: UserLoRAAdapter): Float32Array {
    const rows = x.length / this.#config.embeddingDim;
    writeWeights(adapter, this.#shape, this.#forwardWeights);
    const started = performance.now();
    this.#forward.write(ONE_ZERO, this.#forwardWeights, ONE_ZERO);
    const y = this.#applyNow(this.#forward, { slots: rows === 1 ? ONE_ZERO : new Uint32Array(rows), x });
    if (rows > 0) this.#recordForwardTime((performance.now() - started) / rows);
    return y;
  }

  #applyNow(pool: KernelPool, batch: { slots: Uint32Array; x: Float32Array }): Float32Array {
    const y = new Float32Array(batch.x.length);
    pool.apply(batch, y);
    return y;
  }

  /** Bias-corrected, so that the first call does not count as a tenth of itself. */
  #recordForwardTime(ms: number): void {
    const weight = 1 - TIMING_DECAY ** ++this.#forwardCalls;
    this.#averageForwardMs += ((1 - TIMING_DECAY) / weight) * (ms - this.#averageForwardMs);
  }

  #requireOwn(adapter: UserLoRAAdapter): AdapterState {
    const state = stateOf(adapter);
    requireSameShape('adapter', state.shape, this.#shape);
    return state;
  }

  #requireOpen(): void {
    if (this.#closed) throw new LorakeetError('ERR_POOL_CLOSED', 'the engine has been closed, expected an open one');
  }
}
