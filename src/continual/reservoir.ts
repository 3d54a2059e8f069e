/** A uniform sample of all rows that were ever offered (Vitter 1985, algorithm R), in memory of fixed size. */
import type { Random } from '../adapter/random.js';

export class Reservoir {
  readonly #capacity: number;
  readonly #width: number;
  readonly #random: Random;
  /** [capacity × width] */
  readonly #rows: Float32Array;
  #offered = 0;

  constructor(capacity: number, width: number, random: Random) {
    this.#capacity = capacity;
    this.#width = width;
    this.#random = random;
    this.#rows = new Float32Array(capacity * width);
  }

  get size(): number {
    return Math.min(this.#offered, this.#capacity);
  }

  /** [size × width], a view that the next offer changes. */
  get rows(): Float32Array {
    return this.#rows.subarray(0, this.size * this.#width);
  }

  offer(row: Float32Array): void {
    this.#offered += 1;
    const place =
      this.#offered <= this.#capacity ? this.#offered - 1 : Math.floor(this.#random.uniform(0, this.#offered));
    if (place < this.#capacity) this.#rows.set(row, place * this.#width);
  }

  clear(): void {
    this.#offered = 0;
  }
}
