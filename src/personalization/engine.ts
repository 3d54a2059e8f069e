/** The documented engine: adapters are plain objects that the caller keeps; every update returns a new one. */
import { decodeAdapter, encodeAdapter } from '../adapter/codec.js';
import { type AdapterShape, requireSameShape } from '../adapter/config.js';
import type { AdapterState } from '../adapter/state.js';
import { fail, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { requireEwc } from '../kernels/validate.js';
import type { Advice } from '../reasoning/advisor.js';
import { BankConnection, type ConsolidationResult, type ReasoningBankStats } from '../reasoning/connection.js';
import type { AdaptationSituation, ReasoningBankInstance } from '../reasoning/contract.js';
import type { SimilarAdaptation } from '../reasoning/episode.js';
import type { ConfiguredSettings } from '../reasoning/hints.js';
import { advisedSettings, configuredSettings, episodeOf, situationOf } from './adaptation-situation.js';
import { recordOf, stateOf } from './adapter-record.js';
import { AdapterTrainer, type StepObserver } from './adapter-trainer.js';
import { openBackend } from './backend.js';
import { gatherFeedback, requireUserId } from './feedback.js';
import { ForwardPass } from './forward-pass.js';
import { FreshAdapters } from './fresh-adapters.js';
import { mergedState } from './merged-adapter.js';
import { adapterShapeOf, copyConfig, poolConfigOf, type ResolvedEngineConfig, resolveConfig } from './options.js';
import { SimilarUsers } from './similar-users.js';
import { type FeedbackRows, meanSquaredError } from './training-step.js';
import type {
  AdapterFeedback,
  BackendInfo,
  LoRAConfig,
  SimilarUser,
  UserLoRAAdapter,
  UserPreferences,
  WarmStartOptions,
} from './types.js';
import { UpdateChains } from './update-chains.js';
import { newUserMeta } from './user-meta.js';

/** A bank that was asked for advice when an update was called. */
interface Consultation {
  bank: ReasoningBankInstance;
  situation: AdaptationSituation;
  advice: Advice | Promise<Advice>;
}

/** As `new LoRAPersonalizationEngine(config)`. */
export function createLoRAPersonalizationEngine(config?: LoRAConfig): LoRAPersonalizationEngine {
  return new LoRAPersonalizationEngine(config);
}

/**
 * Personalizes embeddings with one LoRA adapter per user. The engine keeps no adapters, but for a few that warm
 * starts look at: it makes, applies, trains and serializes objects that the caller stores. For services with many users,
 * AdapterPool keeps them in the backend.
 */
export class LoRAPersonalizationEngine {
  /** What executes, and why it and no faster backend. */
  readonly backend: Readonly<BackendInfo>;
  readonly #config: ResolvedEngineConfig;
  readonly #settings: ConfiguredSettings;
  readonly #reasoning: BankConnection;
  readonly #shape: Required<AdapterShape>;
  readonly #fresh: FreshAdapters;
  readonly #trainer: AdapterTrainer;
  readonly #forward: ForwardPass;
  readonly #similar: SimilarUsers;
  readonly #chains = new UpdateChains<UserLoRAAdapter>();
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /**
   * Throws ERR_INVALID_CONFIG naming the option that is unknown or out of range, ERR_ADAPTER_MISMATCH for a prior of other
   * rank, embeddingDim or scaling, and ERR_BACKEND_UNAVAILABLE if a backend was asked for by name and cannot be used.
   */
  constructor(config?: LoRAConfig) {
    this.#config = resolveConfig(config);
    this.#settings = configuredSettings(this.#config);
    const { enableReasoningBankCache, reasoning, reasoningBank, logger } = this.#config;
    const connection = { ...reasoning, useCache: enableReasoningBankCache };
    this.#reasoning = new BankConnection(this.#settings, connection, logger);
    if (reasoningBank) this.#reasoning.connect(reasoningBank);
    this.#shape = adapterShapeOf(this.#config);
    this.#fresh = new FreshAdapters(this.#config);
    const { backend, info } = openBackend(this.#config);
    this.backend = info;
    this.#trainer = new AdapterTrainer(backend, this.#config);
    this.#forward = new ForwardPass(backend, this.#shape, poolConfigOf(this.#config, 1));
    this.#similar = new SimilarUsers(
      this.#config,
      (adapter, { x, target }) => meanSquaredError(this.#forward.apply(x, adapter), target),
      (situation, k) => this.#reasoning.similarUsers(situation, k),
    );
  }

  /** All settings in effect, as new objects: `createLoRAPersonalizationEngine(engine.getConfig())` makes an equal engine. */
  getConfig(): ResolvedEngineConfig {
    const { reasoning } = this.#config;
    return { ...copyConfig(this.#config), reasoning: { ...reasoning }, reasoningBank: this.#reasoning.bank };
  }

  /**
   * A fresh adapter, version 1. Without preferences it is the engine's prior, or, if it has none, the identity map until
   * it learns; with a preference vector p it stretches what lies along p: y = x + 0.1·confidence·(p·x)·p for p of length 1.
   * It depends on the engine's options, the user and the preferences only. Throws ERR_INVALID_ARGUMENT (a userId that is
   * no string or empty), or for the vector ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, and ERR_OUT_OF_RANGE for a confidence
   * outside 0 … 1. With warmStart 'similar' it starts among similar users (WarmStartOptions), and throws as updateAdapter
   * rejects for their feedback or adapters.
   */
  createAdapter(userId: string, initialPreferences?: UserPreferences & WarmStartOptions): UserLoRAAdapter {
    this.#requireOpen();
    requireUserId('userId', userId);
    const meta = newUserMeta(userId, this.#config.learningRate, Date.now(), this.#forward.averageMs);
    return this.#similar.startFrom(recordOf(this.#fresh.stateFor(meta, initialPreferences)), initialPreferences);
  }

  /**
   * Up to `topK` (default 8) users whose adapters explain `feedback` of somebody else best, the most similar first: by
   * their loss on it, whatever their names. `among`: whose adapters to look at; default those of the last 256 users that
   * this engine updated. Throws as updateAdapter rejects, and ERR_OUT_OF_RANGE unless topK is at least 1.
   */
  findSimilarUsers(
    feedback: readonly AdapterFeedback[],
    topK?: number,
    among?: readonly UserLoRAAdapter[],
  ): SimilarUser[] {
    this.#requireOpen();
    return this.#similar.find(feedback, topK, among);
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
    const rows = gatherFeedback(feedback, adapter.userId, this.#config.embeddingDim, this.#config.targetPolicy);
    if (feedback.length === 0) return adapter;
    const consulted = this.#consult(adapter, feedback, rows);
    const update = this.#chains.run(adapter, (newest) => {
      const start = newest === adapter ? previous : stateOf(newest);
      return consulted ? this.#trainAdvised(start, rows, consulted) : this.#train(start, rows, this.#settings);
    });
    this.#running.add(update);
    return update.finally(() => this.#running.delete(update));
  }

  /**
   * Keeps what the adapter has learned: online EWC on the content of `feedback`, Fisher F ← γ·F + F_new with
   * γ = consolidation.decay, anchor ← the present weights. Returns an adapter with the new Fisher and anchor; weights and
   * version stay, as it computes what it did. Later updates are held to them by `ewcLambda`. Without feedback it is
   * `adapter` itself that comes back. Takes its turn among updates of the same adapter.
   *
   * Rejects as updateAdapter does, and with ERR_INVALID_ARGUMENT if the engine was created with useEWC: false.
   */
  async consolidateAdapter(adapter: UserLoRAAdapter, feedback: readonly AdapterFeedback[]): Promise<UserLoRAAdapter> {
    this.#requireOpen();
    requireEwc('consolidateAdapter', this.#trainer.config);
    if (!Array.isArray(feedback)) fail('ERR_INVALID_ARGUMENT', 'feedback', feedback, 'an array of AdapterFeedback');
    const previous = this.#requireOwn(adapter);
    const { x } = gatherFeedback(feedback, adapter.userId, this.#config.embeddingDim, this.#config.targetPolicy);
    if (feedback.length === 0) return adapter;
    const rowOffsets = Uint32Array.of(0, feedback.length);
    const turn = this.#chains.run(adapter, (newest) =>
      this.#trainer.consolidate(newest === adapter ? previous : stateOf(newest), { rowOffsets, x }).then(recordOf),
    );
    this.#running.add(turn);
    return turn.finally(() => this.#running.delete(turn));
  }

  /**
   * base + (scalingFactor/rank)·B·(A·base), a new array [embeddingDim]; changes nothing. Throws ERR_LENGTH_MISMATCH,
   * ERR_NOT_FINITE, ERR_ADAPTER_MISMATCH or ERR_INVALID_ARGUMENT.
   */
  computeLoRAForward(baseEmbedding: Float32Array, adapter: UserLoRAAdapter): Float32Array {
    this.#requireOpen();
    return this.#forward.apply(requireVector('baseEmbedding', baseEmbedding, this.#config.embeddingDim), adapter);
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
    const y = this.#forward.apply(x, adapter);
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

  /**
   * One adapter that does the weighted mean of what `adapters` do, as closely as the engine's rank can: of ΔW = s·B·A, each
   * with its own scaling, and not of A and B. `weights` are divided by their sum, and equal by default; single ones may be
   * negative. It is version 1 of the user 'merged', has seen the samples of all, and holds on to what all have consolidated
   * if all have. Throws ERR_INVALID_ARGUMENT without adapters, ERR_ADAPTER_MISMATCH for another rank or dimension, and for
   * weights ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, or ERR_OUT_OF_RANGE if their sum is not positive.
   */
  mergeAdapters(adapters: readonly UserLoRAAdapter[], weights?: readonly number[]): UserLoRAAdapter {
    this.#requireOpen();
    if (!Array.isArray(adapters)) fail('ERR_INVALID_ARGUMENT', 'adapters', adapters, 'an array of UserLoRAAdapter');
    return recordOf(mergedState(adapters.map(stateOf), weights, this.#config));
  }

  /**
   * Connects a ReasoningBank, in place of the present one if there is any: advice of that one is forgotten. Throws
   * ERR_INVALID_ARGUMENT, with nothing changed, for an object that lacks one of the four methods.
   */
  connectReasoningBank(bank: ReasoningBankInstance): void {
    this.#reasoning.connect(bank);
  }

  /** Goes on without a bank; its advice is forgotten. */
  disconnectReasoningBank(): void {
    this.#reasoning.disconnect();
  }

  hasReasoningBank(): boolean {
    return this.#reasoning.bank !== undefined;
  }

  getReasoningBankStats(): ReasoningBankStats {
    return this.#reasoning.stats;
  }

  clearReasoningBankCache(): void {
    this.#reasoning.clearCache();
  }

  /** Waits until all episodes so far are stored, or given up after five seconds without an answer. */
  flushReasoningBank(): Promise<void> {
    return this.#reasoning.flush();
  }

  /**
   * Has the bank turn what worked into skills, from episodes of the last `lookbackDays` days: where at least `minUses`
   * are alike and `minSuccessRate` (0 … 1) of them succeeded. Null without a bank; if the bank fails, 0 skills and the
   * error. Rejects with ERR_OUT_OF_RANGE.
   */
  consolidateAdaptationPatterns(
    minSuccessRate = 0.85,
    minUses = 5,
    lookbackDays = 30,
  ): Promise<ConsolidationResult | null> {
    return this.#reasoning.consolidate(minSuccessRate, minUses, lookbackDays);
  }

  /**
   * Up to `topK` successful adaptations that the bank finds similar to the user's last update by this engine, or, where
   * there was none with a bank connected, to what it knows under the name. Null without a bank, or when it fails. Rejects with ERR_INVALID_ARGUMENT or ERR_OUT_OF_RANGE.
   */
  async getSimilarAdaptations(userId: string, topK = 5): Promise<SimilarAdaptation[] | null> {
    requireUserId('userId', userId);
    const { rank, learningRate } = this.#config;
    return this.#reasoning.similar(topK, { userId, rank, avgLoss: 0, reward: 0, learningRate });
  }

  /** Frees the backend's memory once running updates are done and their episodes stored. Later calls that compute throw ERR_POOL_CLOSED. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
    await this.#reasoning.flush();
    this.#trainer.close();
    this.#forward.close();
  }

  /** Asks the bank, if there is one, when an update is called; others of the same user may still be running. */
  #consult(
    adapter: UserLoRAAdapter,
    feedback: readonly AdapterFeedback[],
    rows: FeedbackRows,
  ): Consultation | undefined {
    const { bank } = this.#reasoning;
    if (!bank) return undefined;
    const situation = situationOf(this.#config, adapter, feedback, rows);
    return { bank, situation, advice: this.#reasoning.advise(bank, situation) };
  }

  async #trainAdvised(previous: AdapterState, rows: FeedbackRows, consulted: Consultation): Promise<UserLoRAAdapter> {
    const { bank, situation } = consulted;
    // no await for what is known already, for the same reason as below
    const advice = consulted.advice instanceof Promise ? await consulted.advice : consulted.advice;
    const hints = this.#reasoning.bank === bank ? advice.hints : {};
    const settings = advisedSettings(this.#settings, hints);
    const started = performance.now();
    let start = { version: 0, avgLoss: 0, correctionRms: 0 };
    const updated = await this.#train(previous, rows, settings, (y, { version, avgLoss }) => {
      start = { version, avgLoss, correctionRms: Math.sqrt(meanSquaredError(y, rows.x)) };
    });
    if (this.#reasoning.bank !== bank) return updated;
    const trainingTimeMs = performance.now() - started;
    await this.#reasoning.record(bank, episodeOf(situation, settings, hints, start, updated, trainingTimeMs));
    return updated;
  }

  async #train(
    previous: AdapterState,
    rows: FeedbackRows,
    settings: ConfiguredSettings,
    observe?: StepObserver,
  ): Promise<UserLoRAAdapter> {
    const updated = recordOf(await this.#trainer.train(previous, rows, settings, this.#forward.averageMs, observe));
    this.#similar.remember(updated);
    return updated;
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
