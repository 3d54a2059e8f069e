/** Adapters that are in memory for generation, by id and version. */
import type { LanguageAdapter } from '../llm/language-adapter.js';

interface Loaded {
  adapter: Promise<LanguageAdapter>;
  users: number;
  /** No longer wanted: to be closed when the last user leaves. */
  stale: boolean;
}

/** Keeps the `capacity` adapters that were used last; what is in use stays until its last user has left. */
export class LoadedAdapters {
  readonly #capacity: number;
  /** The least recently used first. */
  readonly #loaded = new Map<string, Loaded>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** What `use` makes of the adapter, which is loaded if it is not there. Rejects with what either throws. */
  async use<T>(
    key: string,
    load: () => Promise<LanguageAdapter>,
    use: (adapter: LanguageAdapter) => Promise<T>,
  ): Promise<T> {
    const known = this.#loaded.get(key);
    const entry = known ?? { adapter: load(), users: 0, stale: false };
    this.#loaded.delete(key);
    this.#loaded.set(key, entry);
    entry.users++;
    this.#evict();
    try {
      return await use(await entry.adapter);
    } catch (error) {
      // What could not be loaded must not stay.
      entry.adapter.catch(() => this.#loaded.get(key) === entry && this.#loaded.delete(key));
      throw error;
    } finally {
      entry.users--;
      this.#closeIfUnused(entry);
    }
  }

  clear(): void {
    for (const [key, entry] of this.#loaded) this.#drop(key, entry);
  }

  #evict(): void {
    for (const [key, entry] of this.#loaded) {
      if (this.#loaded.size <= this.#capacity) return;
      this.#drop(key, entry);
    }
  }

  #drop(key: string, entry: Loaded): void {
    this.#loaded.delete(key);
    entry.stale = true;
    this.#closeIfUnused(entry);
  }

  #closeIfUnused({ adapter, users, stale }: Loaded): void {
    if (!stale || users > 0) return;
    adapter.then(
      (loaded) => loaded.close(),
      () => {},
    );
  }
}
