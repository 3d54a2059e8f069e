/**
 * What is to be done for each user, in order: rows go into micro-batches that the pool learns one after another, everything
 * else runs when its turn comes. A user has at most one thing done at a time, so that nothing overtakes and nothing is lost.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PoolInternals } from '../pool.js';
import { type Counters, countBatch } from './counters.js';
import { formOf, mergeShares, type Share } from './micro-batch.js';
import type { ResidentUsers } from './resident-users.js';
import type { Operation, ServedUser, UserRows } from './served-user.js';

export interface LearningQueueOptions {
  pool: PoolInternals;
  features: number;
  residents: ResidentUsers;
  counters: Counters;
  maxBatchRows: number;
  maxDelayMs: number;
  steps: 'per-call' | 'merged';
  /** Rows of an operation are done with, learned or not. */
  onDone(rows: number): void;
}

export class LearningQueue {
  readonly #options: LearningQueueOptions;
  /** Users in memory whose first operation is rows, in the order in which they came to this. */
  #ready: ServedUser[] = [];
  /** Rows of those operations. */
  #readyRows = 0;
  #isRunning = false;
  #isHurried = false;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;

  constructor(options: LearningQueueOptions) {
    this.#options = options;
  }

  add(user: ServedUser, operation: Operation): void {
    user.pending.push(operation);
    if (user.pending.length === 1) this.#advance(user);
  }

  /** The user is in memory now, or is new and has a place there. */
  placed(user: ServedUser): void {
    for (const tell of user.readers.splice(0)) tell();
    this.#advance(user);
  }

  /** The user could not be brought in: fails everything that needs him there, up to what does not. */
  failed(user: ServedUser, error: unknown): void {
    const failed: Operation[] = [];
    for (let next = user.pending.peek(); next; next = user.pending.peek()) {
      if (next.kind === 'task' && !next.needsAdapter) break;
      failed.push(next);
      user.pending.shift();
    }
    for (const tell of user.readers.splice(0)) tell(error);
    this.#advance(user);
    for (const operation of failed) {
      if (operation.kind === 'task') operation.fail(error);
      else this.#finish(user, operation, { error });
    }
  }

  /** From now on nothing waits for more to come. */
  hurry(): void {
    this.#isHurried = true;
    this.#schedule();
  }

  #advance(user: ServedUser): void {
    const { residents } = this.#options;
    const next = user.pending.peek();
    if (!next) {
      residents.settle(user);
    } else if (user.place === 'none' && (next.kind === 'rows' || next.needsAdapter)) {
      residents.want(user);
    } else if (user.place === 'waiting' || user.place === 'loading') {
      // placed() or failed() will follow
    } else if (next.kind === 'task') {
      void next.run(user).then(() => {
        user.pending.shift();
        this.#advance(user);
        residents.pumpSoon();
      });
    } else {
      this.#ready.push(user);
      this.#readyRows += next.rows;
      this.#schedule();
    }
  }

  /** Starts when a batch is full or its first rows have waited for long enough; otherwise sees to it that it will. */
  #schedule(): void {
    if (this.#isRunning || this.#ready.length === 0) return;
    const delay = this.#delay();
    if (this.#timer && delay > 0) return;
    this.#stopTimer();
    if (delay > 0) this.#timer = setTimeout(() => this.#start(), delay);
    else if (this.#isFull()) void this.#run();
    else this.#timer = setImmediate(() => this.#start());
  }

  #start(): void {
    this.#timer = undefined;
    void this.#run();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer as NodeJS.Timeout);
    clearImmediate(this.#timer as NodeJS.Immediate);
    this.#timer = undefined;
  }

  /** Milliseconds until the first rows have waited for long enough. */
  #delay(): number {
    const { maxDelayMs } = this.#options;
    if (maxDelayMs === 0 || this.#isHurried || this.#isFull()) return 0;
    const { call } = this.#ready[0].pending.peek() as UserRows;
    return Math.max(0, call.arrivedAt + maxDelayMs - performance.now());
  }

  #isFull(): boolean {
    return this.#readyRows >= this.#options.maxBatchRows;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    do {
      await this.#learn(this.#takeBatch());
      // for what else there is to do, and for more to come
      await nextTurn();
    } while (this.#ready.length > 0 && this.#delay() === 0);
    this.#isRunning = false;
    this.#schedule();
  }

  /** The first users' rows, as many as fit, at least one operation; all in the form of the first. */
  #takeBatch(): Share[] {
    const { maxBatchRows, steps } = this.#options;
    const shares: Share[] = [];
    const others: ServedUser[] = [];
    const form = formOf(this.#ready[0].pending.peek() as UserRows);
    let room = maxBatchRows;
    let taken = 0;
    for (; taken < this.#ready.length && room > 0; taken++) {
      const user = this.#ready[taken];
      const first = user.pending.peek() as UserRows;
      if (formOf(first) !== form || (first.rows > room && shares.length > 0)) {
        others.push(user);
        continue;
      }
      this.#readyRows -= first.rows;
      const operations = steps === 'merged' ? firstRows(user, form, room) : [first];
      for (const { rows } of operations) room -= rows;
      shares.push({ user, operations });
    }
    this.#ready = [...others, ...this.#ready.slice(taken)];
    return shares;
  }

  async #learn(shares: readonly Share[]): Promise<void> {
    const { pool, features, residents, counters } = this.#options;
    let failure: { error: unknown } | undefined;
    let rejected = new Set<string>();
    try {
      const batch = mergeShares(shares, features, pool.memory);
      countBatch(counters, batch.rowOffsets[shares.length]);
      const report = await pool.learn(batch);
      rejected = new Set(report.rejected);
      counters.updates += report.updates;
      counters.rows += report.rows;
      counters.created += report.created;
      counters.rejectedUpdates += rejected.size;
    } catch (error) {
      failure = { error };
    }
    for (const { user, operations } of shares) {
      user.pending.take(operations.length);
      residents.settle(user);
      // after a failure too: the backend may have come half way
      if (user.place === 'held') residents.markChanged(user);
      this.#advance(user);
    }
    for (const { user, operations } of shares) {
      const outcome = { ...failure, rejected: rejected.has(user.id) };
      for (const operation of operations) this.#finish(user, operation, outcome);
    }
    residents.pumpSoon();
  }

  #finish(
    user: ServedUser,
    { call, rows }: UserRows,
    { error, rejected }: { error?: unknown; rejected?: boolean },
  ): void {
    if (error !== undefined) call.failures.push({ userId: user.id, error });
    if (rejected) call.rejected.push(user.id);
    call.remaining -= 1;
    if (call.remaining === 0) call.finish();
    this.#options.onDone(rows);
  }
}

/** The user's rows up to `room` of them, at least one operation, without changing what is pending. */
function firstRows(user: ServedUser, form: string, room: number): UserRows[] {
  const operations: UserRows[] = [];
  for (const operation of user.pending) {
    if (operation.kind !== 'rows' || formOf(operation) !== form) break;
    if (operations.length > 0 && operation.rows > room) break;
    operations.push(operation);
    room -= operation.rows;
  }
  return operations;
}
