/** Answers of a bank, for a while: bounded in number and in age, with counts of how often that helped. */

export interface CacheCounts {
  size: number;
  hits: number;
  misses: number;
}

interface Entry<T> {
  value: T;
  expiresAt: number;
}

/** The entries are in the order of their last use, so that the first is the one to give up for a new one. */
export class QueryCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #maxEntries: number;
  readonly #ttlMs: number;
  readonly #now: () => number;
  #hits = 0;
  #misses = 0;

  /** `now` in ms, from a clock that does not go back. */
  constructor(maxEntries: number, ttlMs: number, now: () => number = performance.now.bind(performance)) {
    this.#maxEntries = maxEntries;
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  get counts(): CacheCounts {
    return { size: this.#entries.size, hits: this.#hits, misses: this.#misses };
  }

  /** Undefined, and a miss, if there is no value or it is too old. */
  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    const isFresh = entry !== undefined && this.#now() < entry.expiresAt;
    if (entry) this.#entries.delete(key);
    if (!isFresh) {
      this.#misses += 1;
      return undefined;
    }
    this.#entries.set(key, entry);
    this.#hits += 1;
    return entry.value;
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    const oldest = this.#entries.size >= this.#maxEntries ? this.#entries.keys().next() : undefined;
    if (oldest && !oldest.done) this.#entries.delete(oldest.value);
    this.#entries.set(key, { value, expiresAt: this.#now() + this.#ttlMs });
  }

  /** Forgets the values; the counts stay. */
  clear(): void {
    this.#entries.clear();
  }
}
