/** Vectors in this process: rows of Float32, and a search that looks at all of them, so that it misses none. */
import { rejectUnknownKeys } from '../checks.js';
import { dotOfRow, Nearest } from './nearest.js';
import {
  type CollectionShape,
  type Metadata,
  type Metric,
  matches,
  normOf,
  requireIds,
  requireQuery,
  requireRecords,
  requireShape,
  type VectorCollection,
  type VectorHit,
  type VectorQuery,
  type VectorRecord,
} from './vector-collection.js';

/** Exact, and gone with the process. A search takes time in proportion to the number of vectors. */
export class MemoryVectors implements VectorCollection {
  readonly dimensions: number;
  readonly metric: Metric;
  readonly #ids: string[] = [];
  readonly #metadata: Metadata[] = [];
  readonly #rowOf = new Map<string, number>();
  /** For cosine of length 1. */
  #rows: Float32Array;

  /** Throws ERR_INVALID_CONFIG. */
  constructor(options: CollectionShape) {
    rejectUnknownKeys('options', options, ['dimensions', 'metric']);
    const { dimensions, metric } = requireShape(options);
    this.dimensions = dimensions;
    this.metric = metric;
    this.#rows = new Float32Array(16 * dimensions);
  }

  async put(records: readonly VectorRecord[]): Promise<void> {
    for (const { id, vector, metadata } of requireRecords(records, this)) {
      const row = this.#rowOf.get(id) ?? this.#ids.length;
      if ((row + 1) * this.dimensions > this.#rows.length) this.#grow();
      this.#rows.set(this.#scaled(vector), row * this.dimensions);
      this.#ids[row] = id;
      this.#metadata[row] = metadata;
      this.#rowOf.set(id, row);
    }
  }

  async delete(ids: readonly string[]): Promise<void> {
    for (const id of requireIds(ids)) {
      const row = this.#rowOf.get(id);
      if (row === undefined) continue;
      const last = this.#ids.length - 1;
      // the last row takes the place of the one that goes
      this.#rows.copyWithin(row * this.dimensions, last * this.dimensions, (last + 1) * this.dimensions);
      this.#ids[row] = this.#ids[last];
      this.#metadata[row] = this.#metadata[last];
      this.#rowOf.set(this.#ids[row], row);
      this.#rowOf.delete(id);
      this.#ids.pop();
      this.#metadata.pop();
    }
  }

  async search(query: VectorQuery): Promise<VectorHit[]> {
    const { vector, k, parts } = requireQuery(query, this);
    const direction = this.#scaled(vector);
    const best = new Nearest(k);
    const [rows, dimensions] = [this.#rows, this.dimensions];
    for (let row = 0; row < this.#ids.length; row++) {
      if (parts.length > 0 && !matches(this.#metadata[row], parts)) continue;
      const distance = -dotOfRow(rows, row * dimensions, direction, dimensions);
      if (distance <= best.farthest) best.insert(row, distance);
    }
    return best.rows.map(({ row, distance }) => ({
      id: this.#ids[row],
      score: Math.fround(-distance),
      metadata: { ...this.#metadata[row] },
    }));
  }

  async count(): Promise<number> {
    return this.#ids.length;
  }

  async close(): Promise<void> {}

  #scaled(vector: Float32Array): Float32Array {
    if (this.metric === 'dot') return vector;
    const norm = normOf(vector);
    return vector.map((value) => value / norm);
  }

  #grow(): void {
    const rows = new Float32Array(2 * this.#rows.length);
    rows.set(this.#rows);
    this.#rows = rows;
  }
}
