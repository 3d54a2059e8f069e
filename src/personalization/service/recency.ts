/**
 * Users in the order of their last use, linked through the users themselves: to move one takes no search
 * and no memory, unlike deleting from and adding to a Map.
 */
import type { ServedUser } from './served-user.js';

export class Recency {
  #oldest: ServedUser | undefined;
  #newest: ServedUser | undefined;

  /** The user, in the list or not, becomes the newest. */
  touch(user: ServedUser): void {
    if (user === this.#newest) return;
    this.remove(user);
    user.older = this.#newest;
    if (this.#newest) this.#newest.newer = user;
    else this.#oldest = user;
    this.#newest = user;
  }

  /** Does nothing for a user who is not in the list. */
  remove(user: ServedUser): void {
    const { older, newer } = user;
    if (older) older.newer = newer;
    else if (this.#oldest === user) this.#oldest = newer;
    if (newer) newer.older = older;
    else if (this.#newest === user) this.#newest = older;
    user.older = undefined;
    user.newer = undefined;
  }

  /** The oldest first. Nothing may be moved or removed meanwhile. */
  *[Symbol.iterator](): Generator<ServedUser> {
    for (let user = this.#oldest; user; user = user.newer) yield user;
  }
}
