/** Writes what comes in during one turn of the event loop together: one transaction for many callers. */

interface Pending<T, R> {
  item: T;
  resolve(result: R): void;
  reject(error: unknown): void;
}

/** A turn's worth beyond this is written in parts, so that requests and timers get their turn in between. */
const MAX_GROUP = 256;

export class GroupCommit<T, R> {
  readonly #write: (items: readonly T[]) => R[];
  #pending: Pending<T, R>[] = [];
  #scheduled = false;

  /** `write` keeps all items and returns a result for each, or throws having kept none. */
  constructor(write: (items: readonly T[]) => R[]) {
    this.#write = write;
  }

  /** Resolves when the item has been written. */
  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  /** Writes all that is pending now. */
  flush(): void {
    while (this.#pending.length > 0) this.#writeGroup();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#writeGroup();
      if (this.#pending.length > 0) this.#schedule();
    });
  }

  #writeGroup(): void {
    const group = this.#pending.slice(0, MAX_GROUP);
    this.#pending = this.#pending.slice(MAX_GROUP);
    if (group.length === 0) return;
    try {
      const results = this.#write(group.map(({ item }) => item));
      group.forEach(({ resolve }, i) => {
        resolve(results[i]);
      });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
