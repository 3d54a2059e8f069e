/** The bound of the queue: how many rows may be under way, and what happens to calls that find it full. */
import { LorakeetError } from '../../errors.js';
import type { Counters } from './counters.js';
import { Fifo } from './fifo.js';

export class Intake {
  readonly #maxRows: number;
  readonly #whenFull: 'wait' | 'reject';
  readonly #counters: Counters;
  readonly #waiting = new Fifo<{ rows: number; accept: () => void }>();
  #rows = 0;

  constructor(maxRows: number, whenFull: 'wait' | 'reject', counters: Counters) {
    this.#maxRows = maxRows;
    this.#whenFull = whenFull;
    this.#counters = counters;
  }

  /** Rows accepted and not given back yet. */
  get rows(): number {
    return this.#rows;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Calls `accept` at once, or once all offered before are accepted and there is room. Throws ERR_QUEUE_FULL. */
  offer(rows: number, accept: () => void): void {
    if (this.#waiting.length === 0 && this.#fits(rows)) {
      this.#rows += rows;
      accept();
    } else if (this.#whenFull === 'wait') {
      this.#waiting.push({ rows, accept });
    } else {
      this.#counters.refusedCalls += 1;
      const expected = `at most ${this.#maxRows - this.#rows} beside the ${this.#rows} under way`;
      throw new LorakeetError('ERR_QUEUE_FULL', `feedback: got ${rows} rows, expected ${expected}`);
    }
  }

  /** `rows` accepted rows are done with. */
  giveBack(rows: number): void {
    this.#rows -= rows;
    for (let next = this.#waiting.peek(); next && this.#fits(next.rows); next = this.#waiting.peek()) {
      this.#waiting.shift();
      this.#rows += next.rows;
      next.accept();
    }
  }

  #fits(rows: number): boolean {
    return rows === 0 || this.#rows === 0 || this.#rows + rows <= this.#maxRows;
  }
}
