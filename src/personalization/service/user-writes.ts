/** Saves and deletes of users: one at a time for each user, and what of him the store does not have yet. */
import { encodeAdapter } from '../../adapter/codec.js';
import type { AdapterState } from '../../adapter/state.js';
import type { PooledAdapters } from '../pooled-adapters.js';
import type { ServedUser } from './served-user.js';
import type { StoreCalls } from './store-calls.js';

export class UserWrites {
  readonly #adapters: PooledAdapters;
  readonly #store: StoreCalls;
  readonly #onEnd: (user: ServedUser) => void;
  #unsaved = 0;
  #underWay = 0;

  /** `onEnd`: nothing is on its way to the store for this user any more. */
  constructor(adapters: PooledAdapters, store: StoreCalls, onEnd: (user: ServedUser) => void) {
    this.#adapters = adapters;
    this.#store = store;
    this.#onEnd = onEnd;
  }

  /** Users in memory whose last change the store does not have. */
  get unsaved(): number {
    return this.#unsaved;
  }

  /** Calls that still have time to succeed. */
  get underWay(): number {
    return this.#underWay;
  }

  /** The user's adapter is not what it was. */
  markChanged(user: ServedUser): void {
    if (user.isSaved) this.#unsaved += 1;
    user.changes += 1;
  }

  /** Saves users in memory, none of whom has a write under way. */
  async save(users: readonly ServedUser[]): Promise<void> {
    const records = users.map(({ id }) => ({ id, bytes: encodeAdapter(this.#adapters.get(id) as AdapterState) }));
    const changes = users.map((user) => user.changes);
    const save = this.#store.save(records).then(() => {
      users.forEach((user, i) => {
        this.#markSaved(user, changes[i]);
      });
    });
    for (const user of users) this.#hold(user, save);
    await this.#inTime(save, 'save', users.length);
  }

  /** Deletes the user from the store, after any write of his that is under way. What is in memory then counts as saved. */
  async delete(user: ServedUser): Promise<void> {
    const call = () => this.#store.delete([user.id]);
    const removal = user.write ? user.write.then(call, call) : call();
    this.#hold(user, removal);
    try {
      await this.#inTime(removal, 'delete', 1);
      this.#markSaved(user, user.changes);
    } catch (error) {
      // the store may have deleted him, or do so yet; then what is in memory must be saved again
      if (user.place === 'held') this.markChanged(user);
      throw error;
    }
  }

  /** Resolves once the users' writes that are under way have ended, well or not; ERR_STORE_TIMEOUT. */
  async settled(users: readonly ServedUser[]): Promise<void> {
    const writes = users.flatMap(({ write }) => (write ? [write] : []));
    if (writes.length > 0) await this.#store.inTime(Promise.allSettled(writes), 'save', writes.length);
  }

  #markSaved(user: ServedUser, changes: number): void {
    const wasSaved = user.isSaved;
    user.saved = changes;
    if (!wasSaved && user.isSaved) this.#unsaved -= 1;
  }

  /** `write` is the user's, until it ends. */
  #hold(user: ServedUser, write: Promise<void>): void {
    user.write = write;
    const end = () => {
      if (user.write !== write) return;
      user.write = undefined;
      this.#onEnd(user);
    };
    write.then(end, end);
  }

  async #inTime(write: Promise<void>, method: 'save' | 'delete', count: number): Promise<void> {
    this.#underWay += 1;
    try {
      await this.#store.inTime(write, method, count);
    } finally {
      this.#underWay -= 1;
    }
  }
}
