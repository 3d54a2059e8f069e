/** Ends what was begun, the last first. */
import type { Logger } from '../../logger.js';

type End = () => void | Promise<void>;

export class Closing {
  readonly #ends: { what: string; end: End }[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** To be called as soon as there is something to be ended. */
  add(what: string, end: End): void {
    this.#ends.push({ what, end });
  }

  /** Everything, also where something fails, which is logged. */
  async run(): Promise<void> {
    for (let next = this.#ends.pop(); next; next = this.#ends.pop()) {
      try {
        await next.end();
      } catch (error) {
        this.#logger.error(`closing ${next.what} failed: ${(error as Error).message}`);
      }
    }
  }
}
