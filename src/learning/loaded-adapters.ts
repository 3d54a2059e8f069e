/** Adapters that are in memory for generation, by id and version. */
import type { LanguageAdapter } from '../llm/language-adapter.js';
import { failure, type Result, success } from './result.js';

interface Loaded {
  adapter: Promise<Result<LanguageAdapter>>;
  users: number;
  /** No longer wanted: to be closed when the last user leaves. */
  stale: boolean;
}

/** An adapter in use; `release` is to be called once. */
export interface HeldAdapter {
  adapter: LanguageAdapter | undefined;
  release(): void;
}

/** Keeps the `capacity` adapters that were used last; what is in use stays until its last user has left. */
export class LoadedAdapters {
  readonly #capacity: number;
  /** The least recently used first. */
  readonly #loaded = new Map<string, Loaded>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The adapter, which `load` gives if it is not there: once for all who wait for it. Rejects with what `load` throws. */
  async hold(key: string, load: () => Promise<Result<LanguageAdapter>>): Promise<Result<HeldAdapter>> {
    const entry = this.#loaded.get(key) ?? { adapter: load(), users: 0, stale: false };
    this.#loaded.delete(key);
    this.#loaded.set(key, entry);
    entry.users++;
    this.#evict();
    const release = () => {
      entry.users--;
      this.#closeIfUnused(entry);
    };
    const forget = () => {
      if (this.#loaded.get(key) === entry) this.#loaded.delete(key);
    };
    try {
      const adapter = await entry.adapter;
      if (adapter.isSuccess) return success({ adapter: adapter.value, release });
      forget();
      return failure(adapter.error);
    } catch (error) {
      forget();
      throw error;
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
      (loaded) => loaded.map((each) => each.close()),
      () => {},
    );
  }
}
