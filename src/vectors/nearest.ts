/** What exact searches over rows of Float32 need: dot products, and the best so far. */

/** Σ rows[offset + j]·query[j] for j < length, in four sums: one would wait for each addition before the next. */
export function dotOfRow(rows: Float32Array, offset: number, query: Float32Array, length: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = length - (length % 4);
  for (let j = 0; j < whole; j += 4) {
    a += rows[offset + j] * query[j];
    b += rows[offset + j + 1] * query[j + 1];
    c += rows[offset + j + 2] * query[j + 2];
    d += rows[offset + j + 3] * query[j + 3];
  }
  for (let j = whole; j < length; j++) a += rows[offset + j] * query[j];
  return a + b + (c + d);
}

/** The k rows with the least distance, in order. */
export class Nearest {
  readonly rows: { row: number; distance: number }[] = [];
  /** Nothing farther than this belongs in. */
  farthest = Infinity;
  readonly #k: number;

  constructor(k: number) {
    this.#k = k;
  }

  /** Rows come in rising order; of equal distances the later one goes first. */
  insert(row: number, distance: number): void {
    const { rows } = this;
    let at = rows.length;
    while (at > 0 && rows[at - 1].distance >= distance) at--;
    rows.splice(at, 0, { row, distance });
    if (rows.length > this.#k) rows.pop();
    if (rows.length === this.#k) this.farthest = rows[this.#k - 1].distance;
  }
}
