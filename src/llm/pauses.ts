/** Long loops of JavaScript that let others have the thread in between. */
import { setImmediate as turn } from 'node:timers/promises';

const AT_MOST_MS = 8;

export class Pauses {
  #since = performance.now();

  /** Resolves at once, or after what waits for the thread has run, if it has not had it for 8 ms. */
  async whenDue(): Promise<void> {
    if (performance.now() - this.#since < AT_MOST_MS) return;
    await turn();
    this.#since = performance.now();
  }
}
