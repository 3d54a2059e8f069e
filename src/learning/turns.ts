/** One operation after another, for each key by itself. */
import { untilAborted } from './attempt.js';

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Runs `operation` when those asked for before under the same key have ended, however they ended. Rejects with ERR_ABORTED,
   * not having run it, where the signal is aborted before its turn.
   */
  run<T>(key: string, signal: AbortSignal | undefined, operation: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const own = untilAborted(before, signal).then(operation);
    const both = Promise.allSettled([before, own]);
    this.#last.set(key, both);
    void both.then(() => {
      if (this.#last.get(key) === both) this.#last.delete(key);
    });
    return own;
  }
}
