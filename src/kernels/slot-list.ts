/** Hands out the slots first … first+count−1 of a pool, the ones given back before new ones. */
export class SlotList {
  readonly #end: number;
  #next: number;
  readonly #released: number[] = [];

  constructor(count: number, first = 0) {
    this.#next = first;
    this.#end = first + count;
  }

  /** Slots that take() can still hand out. */
  get free(): number {
    return this.#end - this.#next + this.#released.length;
  }

  /** A slot, or undefined when none is free. */
  take(): number | undefined {
    return this.#released.pop() ?? (this.#next < this.#end ? this.#next++ : undefined);
  }

  release(slot: number): void {
    this.#released.push(slot);
  }
}
