/**
 * Who is in memory. Users come in when something is to be done for them and the store is asked for their adapters, many at
 * a time; when places run out, those unused for longest leave, saved first unless the store has them as they are. Users
 * with something to do stay. What cannot be saved stays too.
 */
import type { AdapterState } from '../../adapter/state.js';
import { LorakeetError } from '../../errors.js';
import type { Logger } from '../../logger.js';
import type { PooledAdapters } from '../pooled-adapters.js';
import { readStoredAdapter } from '../stored-adapter.js';
import type { Counters } from './counters.js';
import { Fifo } from './fifo.js';
import { Recency } from './recency.js';
import { ServedUser } from './served-user.js';
import type { StoreCalls } from './store-calls.js';
import { UserWrites } from './user-writes.js';

/** Numbers encoded or decoded for one call of the store; takes a few milliseconds. */
const NUMBERS_PER_CALL = 2 ** 18;
const MAX_USERS_PER_CALL = 256;
/** Calls of the store under way, of each kind. */
const MAX_LOADS = 4;
const MAX_EVICTIONS = 2;
/** Share of the capacity that is made free at once when a place is wanted, so that not every newcomer waits for a save. */
const SPARE_SHARE = 1 / 16;
/** Failures in a row after which saving everybody gives up. */
const MAX_FAILURES = 3;

export interface ResidentOptions {
  adapters: PooledAdapters;
  capacity: number;
  store: StoreCalls;
  counters: Counters;
  logger: Logger;
  /** The user is held, or absent, with a place. */
  onPlaced(user: ServedUser): void;
  /** The user could not be brought in. */
  onFailed(user: ServedUser, error: unknown): void;
}

export class ResidentUsers {
  readonly #options: ResidentOptions;
  readonly #writes: UserWrites;
  readonly #perCall: number;
  /** Everybody who is in memory or has something to do. */
  readonly #users = new Map<string, ServedUser>();
  readonly #recency = new Recency();
  readonly #waiting = new Fifo<ServedUser>();
  /** Places of users who are loading or absent. */
  #promised = 0;
  readonly #absent = new Set<ServedUser>();
  #loads = 0;
  #evictions = 0;
  /** Users being saved in order to leave. */
  #leaving = 0;
  #isPumpDue = false;

  /** Users who are in the pool already are taken for new to the store. */
  constructor(options: ResidentOptions) {
    this.#options = options;
    const { adapters, store } = options;
    this.#writes = new UserWrites(adapters, store, (user) => this.settle(user));
    this.#perCall = Math.min(MAX_USERS_PER_CALL, Math.ceil(NUMBERS_PER_CALL / adapters.slabLength));
    for (const userId of adapters.userIds()) {
      const user = this.use(userId);
      user.place = 'held';
      this.markChanged(user);
    }
  }

  /** Users who wait for their adapter, or are new and wait for their first step. */
  get waiting(): number {
    return this.#waiting.length + this.#promised;
  }

  /** Users in memory whose last change the store does not have. */
  get unsaved(): number {
    return this.#writes.unsaved;
  }

  /** The user, known from now on, and used now. */
  use(id: string): ServedUser {
    let user = this.#users.get(id);
    if (!user) {
      user = new ServedUser(id);
      this.#users.set(id, user);
    }
    this.#recency.touch(user);
    return user;
  }

  /** Brings in a user who is nowhere and has something to do; onPlaced or onFailed follows. */
  want(user: ServedUser): void {
    if (user.place !== 'none') return;
    user.place = 'waiting';
    if (user.write) {
      void this.#wantAfterWrite(user);
    } else {
      this.#waiting.push(user);
      this.pumpSoon();
    }
  }

  async #wantAfterWrite(user: ServedUser): Promise<void> {
    try {
      await this.#writes.settled([user]);
    } catch (error) {
      this.#giveUp(user, error);
      return;
    }
    user.place = 'none';
    this.want(user);
  }

  /** The user's adapter is not what it was. */
  markChanged(user: ServedUser): void {
    this.#writes.markChanged(user);
  }

  /** To be told when a user's adapter was made, or nothing is left to be done for him. */
  settle(user: ServedUser): void {
    if (user.place === 'absent') {
      if (this.#options.adapters.has(user.id)) {
        this.#leavePlace(user);
        user.place = 'held';
      } else if (!user.isBusy) {
        this.#leavePlace(user);
      }
    }
    if (user.place === 'none' && !user.isBusy && !user.write) this.#forget(user);
  }

  /** Removes the user here and in the store; rejects, with the adapter still here, if the store fails. */
  async remove(user: ServedUser): Promise<void> {
    await this.#writes.delete(user);
    if (user.place === 'held') this.#options.adapters.remove(user.id);
    if (user.place === 'held' || user.place === 'absent') this.#leavePlace(user);
  }

  /**
   * Saves all users whose last change the store does not have, and returns how many that were. Where the store fails the
   * others are still saved; then it rejects with the first failure.
   */
  async saveAll(): Promise<number> {
    const users = [...this.#users.values()].filter((user) => user.place === 'held' && !user.isSaved);
    const failures: unknown[] = [];
    let saved = 0;
    let failuresInRow = 0;
    for (let first = 0; first < users.length && failuresInRow < MAX_FAILURES; first += this.#perCall) {
      const some = users.slice(first, first + this.#perCall);
      try {
        await this.#writes.settled(some);
        const due = some.filter((user) => user.place === 'held' && !user.isSaved && !user.write);
        if (due.length > 0) await this.#writes.save(due);
        saved += due.length;
        failuresInRow = 0;
      } catch (error) {
        failures.push(error);
        // a store that does not answer would be waited for again and again
        failuresInRow += error instanceof LorakeetError && error.code === 'ERR_STORE_TIMEOUT' ? MAX_FAILURES : 1;
      }
    }
    this.pumpSoon();
    if (failures.length > 0) {
      const [cause] = failures as LorakeetError[];
      const text = `${this.unsaved} users could not be saved and stay in memory: ${cause.message}`;
      throw new LorakeetError(cause.code, text, { cause });
    }
    return saved;
  }

  /** Gives places to those who wait as soon as the present turn of the event loop has brought all it has. */
  pumpSoon(): void {
    if (this.#isPumpDue || this.#waiting.length === 0) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#waiting.length > 0) {
      const room = this.#room();
      if (room > 0 && this.#loads === MAX_LOADS) return;
      if (room > 0) void this.#load(this.#waiting.take(Math.min(room, this.#perCall)));
      else if (!this.#makeRoom()) return;
    }
  }

  #room(): number {
    // whose adapters a running step has made are in the pool, and need no promised place any more
    for (const user of this.#absent) if (this.#options.adapters.has(user.id)) this.settle(user);
    return this.#options.capacity - this.#options.adapters.size - this.#promised;
  }

  /** True if there is room now. Otherwise it will come, or those who wait have been told that it will not. */
  #makeRoom(): boolean {
    const lacking = this.#waiting.length - this.#leaving;
    if (lacking <= 0 || this.#evictions === MAX_EVICTIONS) return false;
    const spare = Math.ceil(this.#options.capacity * SPARE_SHARE);
    const { victims, busy } = this.#coldest(Math.min(Math.max(lacking, spare), this.#perCall));
    const unsaved = victims.filter((user) => !user.isSaved);
    for (const user of victims) if (user.isSaved) this.#evict(user);
    if (unsaved.length > 0) void this.#saveAndEvict(unsaved);
    if (victims.length === 0 && !busy && this.#writes.underWay === 0 && this.#promised === 0) {
      const text = `no place for ${this.#waiting.length} users: those in memory cannot be saved, the store does not answer`;
      this.#refuseWaiting(new LorakeetError('ERR_STORE_TIMEOUT', text));
    }
    return victims.length > unsaved.length;
  }

  /** Up to `count` users who may leave, the one unused for longest first, and whether others may some time. */
  #coldest(count: number): { victims: ServedUser[]; busy: boolean } {
    const victims: ServedUser[] = [];
    let busy = false;
    for (const user of this.#recency) {
      if (victims.length === count) break;
      if (mayLeave(user)) victims.push(user);
      else if (user.place === 'held' && user.isBusy) busy = true;
    }
    return { victims, busy };
  }

  async #saveAndEvict(users: readonly ServedUser[]): Promise<void> {
    this.#evictions += 1;
    this.#leaving += users.length;
    let failure: unknown;
    try {
      await this.#writes.save(users);
    } catch (error) {
      failure = error;
    }
    this.#evictions -= 1;
    this.#leaving -= users.length;
    // not those who were used meanwhile
    for (const user of users) if (mayLeave(user) && user.isSaved) this.#evict(user);
    if (failure && this.#evictions === 0 && this.#room() <= 0) this.#refuseWaiting(failure);
    this.pumpSoon();
  }

  #evict(user: ServedUser): void {
    this.#options.adapters.remove(user.id);
    this.#forget(user);
    this.#options.counters.evictions += 1;
  }

  #forget(user: ServedUser): void {
    this.#users.delete(user.id);
    this.#recency.remove(user);
  }

  #refuseWaiting(error: unknown): void {
    for (const user of this.#waiting.take(this.#waiting.length)) this.#giveUp(user, error);
  }

  async #load(users: readonly ServedUser[]): Promise<void> {
    this.#loads += 1;
    this.#promised += users.length;
    for (const user of users) user.place = 'loading';
    await this.#bring(users);
    this.#loads -= 1;
    for (const user of users) {
      if (user.place === 'held' || user.place === 'absent') this.#options.onPlaced(user);
    }
    this.pumpSoon();
  }

  async #bring(users: readonly ServedUser[]): Promise<void> {
    try {
      const found = await this.#options.store.load(users.map(({ id }) => id));
      this.#place(users, found);
    } catch (error) {
      if (users.length > 1 && isDamage(error)) {
        // one user's record must not keep the others out
        await Promise.all(users.map((user) => this.#bring([user])));
      } else {
        for (const user of users) if (user.place === 'loading') this.#giveUp(user, error);
      }
    }
  }

  /** Puts what was found for users who are loading into the pool. */
  #place(users: readonly ServedUser[], found: readonly (Uint8Array | undefined)[]): void {
    const { adapters, counters, logger } = this.#options;
    const states: AdapterState[] = [];
    const arriving: ServedUser[] = [];
    users.forEach((user, i) => {
      const bytes = found[i];
      if (bytes === undefined) {
        user.place = 'absent';
        this.#absent.add(user);
        return;
      }
      try {
        states.push(readStoredAdapter(user.id, bytes, adapters.shape));
        arriving.push(user);
      } catch (error) {
        counters.failures.unusable += 1;
        logger.error(`lorakeet: ${(error as Error).message}`);
        this.#giveUp(user, error);
      }
    });
    if (states.length > 0) adapters.put(states);
    for (const user of arriving) user.place = 'held';
    this.#promised -= arriving.length;
    counters.reloads += arriving.length;
  }

  #giveUp(user: ServedUser, error: unknown): void {
    this.#leavePlace(user);
    this.#options.onFailed(user, error);
  }

  #leavePlace(user: ServedUser): void {
    if (user.place === 'loading' || user.place === 'absent') this.#promised -= 1;
    this.#absent.delete(user);
    user.place = 'none';
  }
}

/** Nothing is to be done for him, and nothing of him is on its way to the store. */
function mayLeave(user: ServedUser): boolean {
  return user.place === 'held' && !user.isBusy && user.write === undefined;
}

/** Something in the store is not as it was written; other things in it may well be. */
function isDamage(error: unknown): boolean {
  const { cause } = error as LorakeetError;
  return cause instanceof LorakeetError && cause.code === 'ERR_STORE_CORRUPT';
}
