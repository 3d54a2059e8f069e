/** An object of the addon's, by number: closed by hand, or when nothing refers to it any more. */
import { LorakeetError } from '../../../errors.js';
import { Turns } from './turns.js';

const forgotten = new FinalizationRegistry<() => void>((close) => close());

export class Handle {
  readonly turns = new Turns();
  readonly #kind: string;
  readonly #close: () => void;
  #number: number;

  constructor(kind: string, number: number, close: (number: number) => void) {
    this.#kind = kind;
    this.#number = number;
    this.#close = () => close(number);
    forgotten.register(this, this.#close, this);
  }

  /** Throws ERR_CLOSED. */
  get number(): number {
    if (this.#number === 0) throw new LorakeetError('ERR_CLOSED', `${this.#kind}: it has been closed`);
    return this.#number;
  }

  /** What is under way is finished first. */
  close(): void {
    if (this.#number === 0) return;
    forgotten.unregister(this);
    this.#number = 0;
    this.#close();
  }
}
