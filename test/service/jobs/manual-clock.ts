/** A clock that goes when it is told to, so that nobody waits. */
import type { Clock } from '../../../src/service/jobs/clock.js';

interface Timer {
  at: number;
  call: () => void;
}

export class ManualClock implements Clock {
  #ms: number;
  #timers: Timer[] = [];

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#ms = start;
  }

  now = () => this.#ms;

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#ms + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Calls what comes due on the way, in order, each when what the one before has begun has come to rest. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    await rest();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((one) => one !== due);
      this.#ms = Math.max(this.#ms, due.at);
      due.call();
      await rest();
    }
    this.#ms = end;
  }

  /** The machine slept: time has passed, and nobody was called. */
  jump(ms: number): void {
    this.#ms += ms;
  }
}

/** Everything that waits for nothing but promises and the embedded database has happened. */
export async function rest(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
