/** What is being done for callers, so that it can end before what it needs is closed. */
import { LorakeetError } from '../../errors.js';

export class Requests {
  readonly #running = new Set<Promise<unknown>>();
  readonly #late = new AbortController();
  #open = true;

  /** Rejects with ERR_CLOSED once close() was called. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'the service has been closed, or is closing');
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Aborted as the caller's is, and when the time of close() is over. */
  signalWith(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#late.signal]) : this.#late.signal;
  }

  /** Takes no more; resolves when all have ended, which those that listen to their signal do after `withinMs`. */
  async close(withinMs: number): Promise<void> {
    this.#open = false;
    const late = () => this.#late.abort(new LorakeetError('ERR_CLOSED', 'the service is closing'));
    const timer = setTimeout(late, withinMs);
    await Promise.allSettled(this.#running);
    clearTimeout(timer);
  }
}
