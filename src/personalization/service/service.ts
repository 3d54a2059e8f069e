/** The service form of the pool: feedback of any number of users, of whom some are in memory and all are in a store. */
import { fail } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { requireAdapterId } from '../../versions/adapter-store.js';
import { stateOf } from '../adapter-record.js';
import type { GroupedFeedback } from '../grouped-feedback.js';
import { type AdapterPool, internalsOf, type PoolInternals } from '../pool.js';
import type { FeedbackBatch, PoolFeedback, UserLoRAAdapter } from '../types.js';
import { newCounters } from './counters.js';
import { Intake } from './intake.js';
import { LearningQueue } from './learning-queue.js';
import { resolveServiceOptions } from './options.js';
import { ResidentUsers } from './resident-users.js';
import type { Call, ServedUser, Task } from './served-user.js';
import { StoreCalls } from './store-calls.js';
import type { PersonalizationServiceOptions, ServiceLearnReport, ServiceStats } from './types.js';

/** As `new PersonalizationService(options)`. */
export function createPersonalizationService(options: PersonalizationServiceOptions): PersonalizationService {
  return new PersonalizationService(options);
}

/**
 * Learns feedback as it comes in, one event or many per call, and keeps as many users in memory as the pool has places;
 * the others' adapters lie in the store, bit for bit as they were, and come back when they are wanted.
 *
 * - A user's learn, setAdapter and removeUser calls take effect one after another in the order in which they were made,
 *   whoever else's run meanwhile. Reads see the adapter as it is when they find it in memory.
 * - Feedback that learn() has resolved for is in memory; it is in the store after save(), close(), or the user's eviction.
 * - A store that fails or hangs fails the calls that need it, after `storeTimeoutMs` at the latest. Users whom it does not
 *   take stay in memory.
 */
export class PersonalizationService {
  readonly #pool: AdapterPool;
  readonly #internals: PoolInternals;
  readonly #features: number;
  readonly #counters = newCounters();
  readonly #intake: Intake;
  readonly #residents: ResidentUsers;
  readonly #queue: LearningQueue;
  /** Calls that have not ended. */
  #openCalls = 0;
  #onIdle: (() => void) | undefined;
  #isClosing = false;
  #closing: Promise<void> | undefined;

  /** Throws ERR_INVALID_CONFIG naming the option, or ERR_POOL_CLOSED. */
  constructor(options: PersonalizationServiceOptions) {
    const { pool, store, storeTimeoutMs, maxQueuedRows, whenFull, signal, ...batching } =
      resolveServiceOptions(options);
    const counters = this.#counters;
    this.#pool = pool;
    this.#internals = internalsOf(pool);
    this.#features = pool.getConfig().embeddingDim;
    const { adapters, logger } = this.#internals;
    this.#intake = new Intake(maxQueuedRows, whenFull, counters);
    this.#residents = new ResidentUsers({
      adapters,
      capacity: pool.capacity,
      store: new StoreCalls(store, storeTimeoutMs, counters, logger),
      counters,
      logger,
      onPlaced: (user) => this.#queue.placed(user),
      onFailed: (user, error) => this.#queue.failed(user, error),
    });
    this.#queue = new LearningQueue({
      ...batching,
      pool: this.#internals,
      features: this.#features,
      residents: this.#residents,
      counters,
      onDone: (rows) => this.#intake.giveBack(rows),
    });
    const onAbort = () => void this.close().catch((error) => logger.error(`lorakeet: ${error.message}`));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  }

  /**
   * One optimizer step for every user in the feedback, new ones included, as AdapterPool.learn; resolves once all have taken
   * theirs. The feedback is checked and copied before this returns.
   *
   * Rejects with nothing changed for what AdapterPool.learn refuses, for a user id that is no Unicode text
   * (ERR_INVALID_ARGUMENT), and with ERR_QUEUE_FULL (only with whenFull: 'reject') or ERR_SERVICE_CLOSED. If the adapter of
   * a user cannot be had, his feedback is not learned, that of the others is, and it rejects with ERR_STORE_FAILURE,
   * ERR_STORE_TIMEOUT, or the error of the unusable adapter, naming the users.
   */
  async learn(feedback: readonly PoolFeedback[] | FeedbackBatch): Promise<ServiceLearnReport> {
    this.#requireOpen();
    const grouped = this.#internals.prepare(feedback);
    for (const userId of grouped.userIds) requireAdapterId('userId', userId);
    return this.#accept(grouped);
  }

  /**
   * AdapterPool.personalize, for users in memory or not. A user whom the store does not know either sees what
   * AdapterPool.personalize shows to unknown users. The arrays must stay unchanged until the promise settles. Rejects with what AdapterPool.personalize throws,
   * ERR_SERVICE_CLOSED, and as learn() if an adapter cannot be had.
   */
  async personalize(
    userIds: readonly string[],
    content: Float32Array | Uint32Array,
    out?: Float32Array,
  ): Promise<Float32Array> {
    this.#requireOpen();
    // also the check of the arguments, and the answer for those who turn out to be unknown
    const y = this.#pool.personalize(userIds, content, out);
    const missing = new Map<string, number[]>();
    for (let row = 0; row < userIds.length; row++) {
      const userId = userIds[row];
      const rows = missing.get(userId);
      if (rows) rows.push(row);
      else if (!this.#pool.has(userId)) missing.set(requireAdapterId(`userIds[${row}]`, userId), [row]);
      else this.#residents.use(userId);
    }
    if (missing.size > 0) {
      const reads = Array.from(missing, ([userId, rows]) =>
        this.#read(userId, () => this.#personalizeRows(userId, rows, content, y)),
      );
      await this.#track(Promise.all(reads));
    }
    return y;
  }

  /** A copy of the user's adapter, undefined if he is unknown. Rejects as personalize(). */
  async getAdapter(userId: string): Promise<UserLoRAAdapter | undefined> {
    this.#requireOpen();
    return this.#track(this.#read(requireAdapterId('userId', userId), () => this.#pool.getAdapter(userId)));
  }

  /**
   * Adds the adapter, or replaces the user's, after the calls made for him before. Rejects with what AdapterPool.setAdapter
   * throws, and as learn() if there is no place for him or the adapter that he has cannot be had.
   */
  async setAdapter(adapter: UserLoRAAdapter): Promise<void> {
    this.#requireOpen();
    const state = stateOf(adapter);
    const put = async (user: ServedUser) => {
      this.#internals.adapters.put([state]);
      this.#residents.settle(user);
      this.#residents.markChanged(user);
    };
    await this.#track(this.#inTurn(requireAdapterId('adapter.userId', adapter.userId), true, put));
  }

  /**
   * Removes the user from memory and from the store, after the calls made for him before. If the store fails it rejects with
   * ERR_STORE_FAILURE or ERR_STORE_TIMEOUT, and he is still there.
   */
  async removeUser(userId: string): Promise<void> {
    this.#requireOpen();
    const remove = async (user: ServedUser) => {
      await this.#residents.remove(user);
      // also what the pool remembers of his feedback
      this.#pool.removeUser(userId);
    };
    await this.#track(this.#inTurn(requireAdapterId('userId', userId), false, remove));
  }

  /**
   * Writes every adapter to the store that has changed since it was last written there; returns how many that were. If the
   * store fails it rejects with ERR_STORE_FAILURE or ERR_STORE_TIMEOUT after having written what it could.
   */
  async save(): Promise<number> {
    this.#requireOpen();
    return this.#track(this.#residents.saveAll());
  }

  /** Everything that can be counted. */
  stats(): ServiceStats {
    const { batchSizes, failures } = this.#counters;
    return {
      inMemory: this.#pool.size,
      capacity: this.#pool.capacity,
      unsaved: this.#residents.unsaved,
      queuedRows: this.#intake.rows,
      waitingCalls: this.#intake.waiting,
      waitingUsers: this.#residents.waiting,
      ...this.#counters,
      batchSizes: [...batchSizes],
      failures: { ...failures },
    };
  }

  /**
   * Takes no more calls, finishes those made so far, saves everything, and closes the pool. If the store fails it rejects as
   * save() does and the pool stays open: nothing is lost, pool.snapshot() has it all, and calling close() again tries
   * again. Otherwise further calls do nothing.
   */
  close(): Promise<void> {
    this.#isClosing = true;
    this.#closing ??= this.#close().catch((error) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#queue.hurry();
    if (this.#openCalls > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#residents.saveAll();
    await this.#pool.close();
  }

  #accept(feedback: GroupedFeedback): Promise<ServiceLearnReport> {
    return new Promise((resolve, reject) => {
      const { userIds, rowOffsets } = feedback;
      const rows = rowOffsets[userIds.length];
      const call: Call = {
        feedback,
        arrivedAt: performance.now(),
        remaining: userIds.length,
        rejected: [],
        failures: [],
        finish: () => {
          this.#internals.memory.give(feedback.memory);
          if (call.failures.length > 0) reject(notLearned(call));
          else resolve({ rows, users: userIds.length, rejected: call.rejected });
          this.#endCall();
        },
      };
      if (userIds.length > 0) this.#intake.offer(rows, () => this.#enqueue(call));
      this.#openCalls += 1;
      if (userIds.length === 0) call.finish();
    });
  }

  #enqueue(call: Call): void {
    const { userIds, rowOffsets } = call.feedback;
    for (let index = 0; index < userIds.length; index++) {
      const rows = rowOffsets[index + 1] - rowOffsets[index];
      this.#queue.add(this.#residents.use(userIds[index]), { kind: 'rows', call, index, rows });
    }
  }

  /** Runs `body` when the user's turn comes. */
  #inTurn(userId: string, needsAdapter: boolean, body: (user: ServedUser) => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const run: Task['run'] = (user) => body(user).then(resolve, reject);
      this.#intake.offer(0, () => {
        this.#queue.add(this.#residents.use(userId), { kind: 'task', needsAdapter, run, fail: reject });
      });
    });
  }

  /** What `body` finds once the user is in memory, or nowhere. */
  #read<T>(userId: string, body: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const user = this.#residents.use(userId);
      const read = (error?: unknown) => {
        if (error !== undefined) return reject(error);
        try {
          resolve(body());
        } catch (thrown) {
          reject(thrown);
        }
      };
      if (user.place === 'held' || user.place === 'absent') {
        read();
      } else {
        user.readers.push(read);
        this.#residents.want(user);
      }
    });
  }

  #personalizeRows(
    userId: string,
    rows: readonly number[],
    content: Float32Array | Uint32Array,
    y: Float32Array,
  ): void {
    if (!this.#pool.has(userId)) return;
    const width = content instanceof Float32Array ? this.#features : 1;
    const part = content instanceof Float32Array ? new Float32Array(rows.length * width) : new Uint32Array(rows.length);
    rows.forEach((row, i) => {
      part.set(content.subarray(row * width, (row + 1) * width), i * width);
    });
    const result = this.#pool.personalize(Array<string>(rows.length).fill(userId), part);
    rows.forEach((row, i) => {
      y.set(result.subarray(i * this.#features, (i + 1) * this.#features), row * this.#features);
    });
  }

  async #track<T>(call: Promise<T>): Promise<T> {
    this.#openCalls += 1;
    try {
      return await call;
    } finally {
      this.#endCall();
    }
  }

  #endCall(): void {
    this.#openCalls -= 1;
    if (this.#openCalls === 0) this.#onIdle?.();
  }

  #requireOpen(): void {
    if (this.#isClosing) fail('ERR_SERVICE_CLOSED', 'the service', 'closed', 'an open one');
  }
}

/** Users named in an error's message. */
const MAX_NAMED = 5;

function notLearned({ failures, feedback }: Call): LorakeetError {
  const [{ error: first }] = failures;
  const names = failures.slice(0, MAX_NAMED).map(({ userId }) => JSON.stringify(userId));
  const more = failures.length > MAX_NAMED ? ', …' : '';
  const reason = first instanceof Error ? first.message : String(first);
  const text =
    `feedback of ${failures.length} of ${feedback.userIds.length} users was not learned (${names.join(', ')}${more}): ` +
    reason;
  const code = first instanceof LorakeetError ? first.code : 'ERR_BACKEND_FAILURE';
  const cause = failures.length === 1 ? first : new AggregateError(failures.map(({ error }) => error));
  return new LorakeetError(code, text, { cause });
}
