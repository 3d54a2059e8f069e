/**
 * Group commit: calls that come while a write is under way are written together by the next one, so that many callers share
 * one sync of the disk, or one round trip to a server.
 */
import { LorakeetError } from '../../errors.js';
import type { Feedback } from './feedback.js';

/** Keeps all rows or none; for each whether it was new. */
export type WriteRows = (rows: readonly Feedback[]) => Promise<boolean[]>;

interface Waiting {
  rows: readonly Feedback[];
  resolve(added: boolean[]): void;
  reject(error: unknown): void;
}

/** Of one write, unless a single call has more. */
const MAX_WRITE_ROWS = 1000;
/** Of those that wait: beyond it the store is too slow for what is coming. */
const MAX_WAITING_ROWS = 50_000;

export class AppendQueue {
  readonly #write: WriteRows;
  readonly #isRefusal: (error: unknown) => boolean;
  #waiting: Waiting[] = [];
  #waitingRows = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  /** `isRefusal`: an error is about the rows themselves, so that those of other callers may well be written. */
  constructor(write: WriteRows, isRefusal: (error: unknown) => boolean = () => false) {
    this.#write = write;
    this.#isRefusal = isRefusal;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Rejects with ERR_CLOSED, ERR_QUEUE_FULL, and what the write rejects with. */
  add(rows: readonly Feedback[]): Promise<boolean[]> {
    if (this.#closed) return Promise.reject(closedError());
    if (rows.length === 0) return Promise.resolve([]);
    if (this.#waitingRows > 0 && this.#waitingRows + rows.length > MAX_WAITING_ROWS) {
      const what = `feedback: ${this.#waitingRows} rows are waiting to be written, expected at most ${MAX_WAITING_ROWS}`;
      return Promise.reject(new LorakeetError('ERR_QUEUE_FULL', what));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rows, resolve, reject });
      this.#waitingRows += rows.length;
      this.#running ??= this.#run();
    });
  }

  /** Takes no more, and waits for what it has taken. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // whoever calls in this turn of the event loop, too
    await new Promise((done) => setImmediate(done));
    while (this.#waiting.length > 0) {
      const group = this.#take();
      await this.#writeGroup(group);
      // a store that writes on this thread lets others have it between two writes
      await new Promise((done) => setImmediate(done));
    }
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let rows = 0;
    let calls = 0;
    while (calls < this.#waiting.length && (calls === 0 || rows + this.#waiting[calls].rows.length <= MAX_WRITE_ROWS)) {
      rows += this.#waiting[calls++].rows.length;
    }
    this.#waitingRows -= rows;
    return this.#waiting.splice(0, calls);
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const added = await this.#write(group.flatMap(({ rows }) => rows));
      let start = 0;
      for (const { rows, resolve } of group) {
        resolve(added.slice(start, start + rows.length));
        start += rows.length;
      }
    } catch (error) {
      if (group.length > 1 && this.#isRefusal(error)) {
        for (const one of group) await this.#writeGroup([one]);
      } else {
        for (const { reject } of group) reject(error);
      }
    }
  }
}

export function closedError(): LorakeetError {
  return new LorakeetError('ERR_CLOSED', 'the feedback store has been closed');
}
