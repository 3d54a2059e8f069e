/** The high-throughput form of the engine: it keeps the adapters of many users and works on all of them in one call. */
import { decodeAdapter, encodeAdapter } from '../adapter/codec.js';
import { decodeSnapshot, encodeSnapshot } from '../adapter/snapshot.js';
import { fail, rejectUnknownKeys } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { KernelPool } from '../kernels/contract.js';
import { requireEwc } from '../kernels/validate.js';
import type { Logger } from '../logger.js';
import type { AdapterCollection, AdapterStore } from '../versions/adapter-store.js';
import { recordOf, stateOf } from './adapter-record.js';
import { openBackend } from './backend.js';
import { requireArgument, requireUserId } from './feedback.js';
import { type FeedbackContext, type GroupedFeedback, groupFeedback, requireUserIds } from './grouped-feedback.js';
import { consolidateFeedback, type LearningCosts, learnFeedback } from './learning.js';
import { copyConfig, poolConfigOf, type ResolvedConfig, resolvePoolOptions } from './options.js';
import { restoreAdapters, saveAdapters } from './pool-storage.js';
import { startInPool } from './pool-warm-start.js';
import { PooledAdapters } from './pooled-adapters.js';
import { Retention } from './retention.js';
import { RowMemory } from './row-memory.js';
import type {
  AdapterPoolOptions,
  BackendInfo,
  FeedbackBatch,
  LearnReport,
  PoolFeedback,
  PoolWarmStartOptions,
  SavedUsers,
  SnapshotOptions,
  UserLoRAAdapter,
} from './types.js';
import { readUserMeta } from './user-meta.js';
import { slotsFor } from './user-table.js';

/** What the service form (service/) needs of a pool beyond its public methods. The package does not export it. */
export interface PoolInternals {
  readonly adapters: PooledAdapters;
  /** For feedback on its way to learn(). */
  readonly memory: RowMemory;
  readonly logger: Logger;
  /** Feedback checked, copied and grouped; throws as AdapterPool.learn rejects. */
  prepare(feedback: readonly PoolFeedback[] | FeedbackBatch): GroupedFeedback;
  /** As AdapterPool.learn; takes the feedback's memory back to `memory`. */
  learn(feedback: GroupedFeedback): Promise<LearnReport>;
}

/** Of an open pool; throws ERR_POOL_CLOSED. */
export let internalsOf: (pool: AdapterPool) => PoolInternals;

/** As `new AdapterPool(options)`. */
export function createAdapterPool(options?: AdapterPoolOptions): AdapterPool {
  return new AdapterPool(options);
}

/**
 * Adapters of many users, by user id, in the memory of the backend.
 *
 * learn() runs in the background; learns take effect one after another in the order in which they were called, so that
 * concurrent ones lose nothing. All other methods are synchronous and see the adapters as they are at that moment: every
 * adapter is whole, before or after its step, and a call waits for about a millisecond of running work at most.
 */
export class AdapterPool {
  /** What executes, and why it and no faster backend. */
  readonly backend: Readonly<BackendInfo>;
  readonly capacity: number;
  readonly #config: ResolvedConfig;
  readonly #feedbackContext: FeedbackContext;
  readonly #kernel: KernelPool;
  readonly #adapters: PooledAdapters;
  readonly #retention: Retention | undefined;
  #lastLearn: Promise<unknown> = Promise.resolve();
  #lastSave: Promise<unknown> = Promise.resolve();
  /** Places promised to users whom the running learn is about to create. */
  #reserved = 0;
  #closing: Promise<void> | undefined;

  static {
    internalsOf = (pool) => {
      pool.#requireOpen();
      return {
        adapters: pool.#adapters,
        memory: pool.#feedbackContext.memory,
        logger: pool.#config.logger,
        prepare: (feedback) => groupFeedback(feedback, pool.#feedbackContext),
        learn: (feedback) => pool.#enqueue(feedback),
      };
    };
  }

  /**
   * `options.items` must stay unchanged while the pool lives. Throws ERR_INVALID_CONFIG naming the option,
   * ERR_BACKEND_UNAVAILABLE if a backend was asked for by name and cannot be used, and for `items` ERR_INVALID_ARGUMENT,
   * ERR_LENGTH_MISMATCH or ERR_NOT_FINITE.
   */
  constructor(options?: AdapterPoolOptions) {
    const { config, capacity, items } = resolvePoolOptions(options);
    const { backend, info } = openBackend(config);
    this.backend = info;
    this.capacity = capacity;
    this.#config = config;
    this.#kernel = backend.createPool(poolConfigOf(config, slotsFor(capacity)));
    if (items) this.#kernel.bindItems(items);
    this.#adapters = new PooledAdapters(this.#kernel, config, capacity);
    this.#retention = Retention.of(config, items, capacity);
    this.#feedbackContext = {
      features: config.embeddingDim,
      items,
      policy: config.targetPolicy,
      memory: new RowMemory(),
      firstNonFinite: backend.firstNonFinite,
    };
  }

  /** Users held. */
  get size(): number {
    return this.#adapters.size;
  }

  /** Rises with every change of an adapter; see snapshot(). */
  get revision(): number {
    return this.#adapters.revision;
  }

  /** Settings in effect, as new objects. */
  getConfig(): ResolvedConfig {
    return copyConfig(this.#config);
  }

  has(userId: string): boolean {
    return this.#adapters.has(requireUserId('userId', userId));
  }

  userIds(): string[] {
    return [...this.#adapters.userIds()];
  }

  /**
   * Adds a user before his first learn(), which would add him with the prior or fresh, and returns his adapter. With
   * warmStart 'similar' he starts among the users whose adapters explain his feedback best. Throws ERR_INVALID_ARGUMENT
   * for a user who is here already, ERR_POOL_FULL, or as learn() rejects for feedback.
   */
  createAdapter(userId: string, options: PoolWarmStartOptions = {}): UserLoRAAdapter {
    this.#requireOpen();
    if (this.has(userId)) fail('ERR_INVALID_ARGUMENT', 'userId', userId, 'a user who is not in the pool');
    this.#adapters.requireRoom([userId], this.#reserved);
    const start = startInPool(this.#adapters, userId, options, this.#config, this.#feedbackContext);
    this.#adapters.put([start]);
    return this.getAdapter(userId) as UserLoRAAdapter;
  }

  /**
   * One optimizer step for every user in the feedback, on all of that user's rows. New users get a fresh adapter first.
   * The feedback is checked and copied before this returns.
   *
   * Rejects with nothing changed: ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, ERR_OUT_OF_RANGE,
   * ERR_NO_ITEMS, ERR_ITEM_OUT_OF_RANGE, ERR_POOL_FULL, ERR_POOL_CLOSED. A user whose loss or gradient overflows is left
   * unchanged and listed in the report.
   */
  async learn(feedback: readonly PoolFeedback[] | FeedbackBatch): Promise<LearnReport> {
    this.#requireOpen();
    return this.#enqueue(groupFeedback(feedback, this.#feedbackContext));
  }

  /**
   * Consolidates every user in the feedback who is here, on the content of all of that user's rows: online EWC, Fisher
   * F ← γ·F + F_new with γ = consolidation.decay, anchor ← the present weights, which stay. From now on learning is held
   * to them by `ewcLambda`. Takes its turn among the learns; resolves to the number of users.
   *
   * Rejects as learn() does, with nothing changed for the users of the portion that failed, and with ERR_INVALID_ARGUMENT
   * if the pool was created with useEWC: false.
   */
  async consolidate(feedback: readonly PoolFeedback[] | FeedbackBatch): Promise<number> {
    this.#requireOpen();
    requireEwc('consolidate', this.#kernel.config);
    const grouped = groupFeedback(feedback, this.#feedbackContext);
    const turn = this.#lastLearn.then(() =>
      consolidateFeedback(this.#adapters, grouped, this.#costs()).finally(() =>
        this.#feedbackContext.memory.give(grouped.memory),
      ),
    );
    this.#lastLearn = turn.catch(() => undefined);
    return turn;
  }

  /**
   * Row i of the content as userIds[i] sees it: x + (scalingFactor/rank)·B·(A·x). Content as vectors [n × embeddingDim]
   * or item numbers [n]; the result, [n × embeddingDim], goes to `out` if given. A user whom the pool does not know sees
   * the content as the prior does, or, without one, as it is. NaN in gives NaN out. Throws ERR_INVALID_ARGUMENT,
   * ERR_LENGTH_MISMATCH, ERR_NO_ITEMS, ERR_ITEM_OUT_OF_RANGE or ERR_POOL_CLOSED.
   */
  personalize(userIds: readonly string[], content: Float32Array | Uint32Array, out?: Float32Array): Float32Array {
    this.#requireOpen();
    if (!Array.isArray(userIds)) fail('ERR_INVALID_ARGUMENT', 'userIds', userIds, 'an array of strings');
    const length = requireUserIds('userIds', userIds) * this.#config.embeddingDim;
    if (content instanceof Float32Array && content.length !== length) {
      throw new LorakeetError('ERR_LENGTH_MISMATCH', `content: got ${content.length} elements, expected ${length}`);
    }
    const y = out ?? new Float32Array(length);
    this.#kernel.apply({ slots: this.#adapters.applySlotsOf(userIds), x: content }, y);
    return y;
  }

  /**
   * A copy of the user's adapter, undefined if there is none. Its lastBatch is only there if the adapter came with one
   * and has not learned here since: the pool does not spend another pass on the loss after a step. While a step of this
   * user is running, its loss may not have gone into avgLoss yet.
   */
  getAdapter(userId: string): UserLoRAAdapter | undefined {
    this.#requireOpen();
    const state = this.#adapters.get(requireUserId('userId', userId));
    return state && recordOf(state);
  }

  /**
   * Adds the adapter, or replaces the user's. Feedback whose step is running does not reach it. Throws
   * ERR_ADAPTER_MISMATCH (other rank, embeddingDim or scaling), ERR_POOL_FULL, or the error of a broken adapter.
   */
  setAdapter(adapter: UserLoRAAdapter): void {
    this.#requireOpen();
    const state = stateOf(adapter);
    this.#adapters.requireRoom([adapter.userId], this.#reserved);
    this.#adapters.put([state]);
  }

  /** Forgets the user, also for the rest of a learn() that is running; false if the pool does not know him. */
  removeUser(userId: string): boolean {
    this.#requireOpen();
    this.#retention?.forget(requireUserId('userId', userId));
    return this.#adapters.remove(requireUserId('userId', userId));
  }

  /**
   * All adapters in bytes, optimizer state included, for restore(). With `changedSince` only those that changed after the
   * pool had that revision, which makes saving often cheap:
   *
   *   const revision = pool.revision;
   *   save(pool.snapshot({ changedSince: lastSaved }));
   *   lastSaved = revision;
   *
   * Removed users are not in it; that is for the caller to store.
   */
  snapshot(options: SnapshotOptions = {}): Uint8Array {
    this.#requireOpen();
    return encodeSnapshot([...this.#adapters.statesChangedSince(requireChangedSince(options))].map(encodeAdapter));
  }

  /**
   * Puts all adapters of a snapshot into the pool, replacing those of the same users; others stay. Returns their number.
   * All or none: throws, with nothing changed, ERR_ADAPTER_CORRUPT, ERR_ADAPTER_VERSION, ERR_ADAPTER_MISMATCH,
   * ERR_POOL_FULL or ERR_OUT_OF_MEMORY.
   */
  restore(bytes: Uint8Array): number {
    this.#requireOpen();
    const states = decodeSnapshot(bytes).map(decodeAdapter);
    const userIds = new Set(states.map((state) => readUserMeta(state.meta).userId));
    if (userIds.size !== states.length) {
      fail('ERR_ADAPTER_CORRUPT', 'snapshot', bytes, 'no user twice');
    }
    this.#adapters.requireRoom([...userIds], this.#reserved);
    this.#adapters.put(states);
    return states.length;
  }

  /**
   * Saves all adapters, optimizer state included, to a store, or with `changedSince` those that changed after the pool had
   * that revision. Nothing waits for it: it works a millisecond at a time, and needs memory for some thousand adapters at
   * most. Every adapter is whole, and as it was at some moment during the call; the answer has the revision for the next one:
   *
   *   ({ revision } = await pool.saveTo(store, { changedSince: revision }));
   *
   * Removed users are for the caller to delete from the store. Calls follow one another. Rejects with what the store rejects
   * with, after which each adapter may have been saved or not, ERR_INVALID_ARGUMENT or ERR_POOL_CLOSED.
   */
  async saveTo(store: Pick<AdapterStore, 'save'>, options: SnapshotOptions = {}): Promise<SavedUsers> {
    this.#requireOpen();
    if (typeof store?.save !== 'function') fail('ERR_INVALID_ARGUMENT', 'store', store, 'an AdapterStore');
    const changedSince = requireChangedSince(options);
    const saving = this.#lastSave.then(() => saveAdapters(this.#adapters, store, changedSince));
    this.#lastSave = saving.catch(() => undefined);
    return saving;
  }

  /**
   * Puts all adapters of a store into the pool, some at a time, replacing those of the same users; others stay. Resolves to
   * their number. Rejects with what the store rejects with, ERR_INVALID_ARGUMENT, ERR_POOL_FULL, ERR_POOL_CLOSED, or
   * naming the user ERR_ADAPTER_CORRUPT, ERR_ADAPTER_VERSION, ERR_ADAPTER_MISMATCH or ERR_USER_MISMATCH; those who came
   * before are then in the pool.
   */
  async restoreFrom(store: Pick<AdapterCollection, 'entries'>): Promise<number> {
    this.#requireOpen();
    if (typeof store?.entries !== 'function') fail('ERR_INVALID_ARGUMENT', 'store', store, 'an AdapterCollection');
    return restoreAdapters(this.#adapters, store, (userIds) => {
      this.#requireOpen();
      this.#adapters.requireRoom(userIds, this.#reserved);
    });
  }

  /** Waits for all learns and saves called so far, then frees the memory. Later calls throw ERR_POOL_CLOSED. */
  close(): Promise<void> {
    this.#closing ??= Promise.all([this.#lastLearn, this.#lastSave]).then(() => this.#kernel.close());
    return this.#closing;
  }

  #costs(): LearningCosts {
    const { parameterCount } = this.#kernel.layout;
    return { backend: this.backend.name, threads: this.#config.threads, parameterCount };
  }

  #enqueue(feedback: GroupedFeedback): Promise<LearnReport> {
    const learn = this.#lastLearn.then(() => this.#learn(feedback));
    this.#lastLearn = learn.catch(() => undefined);
    return learn;
  }

  async #learn(feedback: GroupedFeedback): Promise<LearnReport> {
    const reserve = (places: number) => {
      this.#reserved = places;
    };
    const report = await learnFeedback(this.#adapters, feedback, this.#costs(), reserve, this.#retention).finally(() =>
      this.#feedbackContext.memory.give(feedback.memory),
    );
    if (report.rejected.length > 0) {
      const users = report.rejected.slice(0, 5).join(', ');
      this.#config.logger.warn(
        `lorakeet: ${report.rejected.length} users left unchanged, their loss or gradient is not finite: ${users}`,
      );
    }
    return report;
  }

  #requireOpen(): void {
    if (this.#closing) throw new LorakeetError('ERR_POOL_CLOSED', 'the pool has been closed, expected an open one');
  }
}

/** The revision after which changes count. */
function requireChangedSince(options: SnapshotOptions): number {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_ARGUMENT', 'options', options, 'an object');
  rejectUnknownKeys('options', options, ['changedSince']);
  return requireArgument('options.changedSince', options.changedSince ?? -1, -1);
}
