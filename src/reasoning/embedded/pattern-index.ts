/** Every stored pattern as one row of a matrix in memory; a search looks at all of them, so it misses none. */
import { dotOfRow, Nearest } from '../../vectors/nearest.js';
import type { Situation } from './episode.js';
import { SITUATION_DIMENSIONS, writeSituationVector } from './situation.js';
import { TEXT_DIMENSIONS, writeTextVector } from './text-vector.js';

const DIMENSIONS = TEXT_DIMENSIONS + SITUATION_DIMENSIONS;

export interface IndexedPattern {
  id: number;
  task: string;
  situation?: Situation;
  success: boolean;
  reward: number;
}

export interface IndexQuery {
  text: string;
  situation?: Situation;
  k: number;
  minReward?: number;
  onlySuccesses?: boolean;
  onlyFailures?: boolean;
}

export interface Hit {
  id: number;
  similarity: number;
}

/**
 * Rows in rising order of their ids: first the text's unit vector, then the situation's features; patterns without a
 * situation have NaN there and are found by their text only.
 */
export class PatternIndex {
  #count = 0;
  #vectors = new Float32Array(256 * DIMENSIONS);
  #ids = new Float64Array(256);
  #rewards = new Float64Array(256);
  #successes = new Uint8Array(256);
  readonly #query = new Float32Array(DIMENSIONS);

  get size(): number {
    return this.#count;
  }

  add({ id, task, situation, success, reward }: IndexedPattern): void {
    if (this.#count === this.#ids.length) this.#grow();
    const row = this.#count++;
    const offset = row * DIMENSIONS;
    writeTextVector(task, this.#vectors, offset);
    if (situation) writeSituationVector(situation, this.#vectors, offset + TEXT_DIMENSIONS);
    else this.#vectors.fill(Number.NaN, offset + TEXT_DIMENSIONS, offset + DIMENSIONS);
    this.#ids[row] = id;
    this.#rewards[row] = reward;
    this.#successes[row] = success ? 1 : 0;
  }

  /** Takes out the patterns with these ids. */
  remove(ids: ReadonlySet<number>): void {
    let kept = 0;
    for (let row = 0; row < this.#count; row++) {
      if (ids.has(this.#ids[row])) continue;
      if (kept < row) {
        this.#vectors.copyWithin(kept * DIMENSIONS, row * DIMENSIONS, (row + 1) * DIMENSIONS);
        this.#ids[kept] = this.#ids[row];
        this.#rewards[kept] = this.#rewards[row];
        this.#successes[kept] = this.#successes[row];
      }
      kept++;
    }
    this.#count = kept;
  }

  /**
   * The k most similar patterns that pass the filters, most similar first, of equal ones the latest. Similarity is
   * 1 / (1 + distance²/2), where distance² adds up 2 − 2·cosine of the texts and, for a query with a situation, the
   * squared differences of its features.
   */
  search(query: IndexQuery): Hit[] {
    const vector = this.#query;
    writeTextVector(query.text, vector, 0);
    const { situation } = query;
    if (situation) writeSituationVector(situation, vector, TEXT_DIMENSIONS);
    const best = new Nearest(query.k);
    const minReward = query.minReward ?? -Infinity;
    const rejected = [query.onlyFailures ? 1 : -1, query.onlySuccesses ? 0 : -1];
    const [vectors, rewards, successes] = [this.#vectors, this.#rewards, this.#successes];
    for (let row = 0; row < this.#count; row++) {
      const success = successes[row];
      if (!(rewards[row] >= minReward) || success === rejected[0] || success === rejected[1]) continue;
      const offset = row * DIMENSIONS;
      let distance = 2 - 2 * dotOfRow(vectors, offset, vector, TEXT_DIMENSIONS);
      if (situation && distance <= best.farthest) {
        distance += squaredDistance(vectors, offset + TEXT_DIMENSIONS, vector);
      }
      if (distance <= best.farthest) best.insert(row, distance);
    }
    return best.rows.map(({ row, distance }) => ({ id: this.#ids[row], similarity: 1 / (1 + distance / 2) }));
  }

  #grow(): void {
    const rows = 2 * this.#ids.length;
    this.#vectors = enlarged(this.#vectors, new Float32Array(rows * DIMENSIONS));
    this.#ids = enlarged(this.#ids, new Float64Array(rows));
    this.#rewards = enlarged(this.#rewards, new Float64Array(rows));
    this.#successes = enlarged(this.#successes, new Uint8Array(rows));
  }
}

/** Of the situations' features; as much as the texts can differ at most and more, if the row has none. */
function squaredDistance(rows: Float32Array, offset: number, query: Float32Array): number {
  let a = 0;
  let b = 0;
  for (let j = 0; j < SITUATION_DIMENSIONS; j += 2) {
    const x = rows[offset + j] - query[TEXT_DIMENSIONS + j];
    const y = rows[offset + j + 1] - query[TEXT_DIMENSIONS + j + 1];
    a += x * x;
    b += y * y;
  }
  const sum = a + b;
  return Number.isNaN(sum) ? NO_SITUATION : sum;
}

/** Squared distance of a pattern without a situation from any situation. */
const NO_SITUATION = 16;

function enlarged<T extends Float32Array | Float64Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
