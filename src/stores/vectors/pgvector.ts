/** Vectors in a table of Postgres with the extension pgvector, through any handle that runs SQL. */
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  type CollectionShape,
  type FilterPart,
  type Metric,
  requireCollectionName,
  requireIds,
  requireQuery,
  requireRecords,
  requireShape,
  type VectorCollection,
  type VectorHit,
  type VectorQuery,
  type VectorRecord,
} from '../../vectors/vector-collection.js';

/** What pools and clients of `pg` are, and PGlite too. */
export interface SqlHandle {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface PgVectorOptions extends CollectionShape {
  /** Stays open when the collection is closed. Its database has the extension, or may create it. */
  sql: SqlHandle;
  /** Up to 40 of a-z, 0-9 and _, a letter first; the table is `lorakeet_vectors_<collection>`. */
  collection: string;
  /** Make the table when there is none; default true. */
  create?: boolean;
}

/** Rows of one statement. */
const BATCH = 1000;
const UNDEFINED_TABLE = '42P01';

/**
 * Searches look at every row unless an index is made by hand (docs/vectors.md). Records are put 1000 to a statement, each
 * of which happens or does not.
 */
export class PgVectors implements VectorCollection {
  readonly dimensions: number;
  readonly metric: Metric;
  readonly #sql: SqlHandle;
  readonly #table: string;

  private constructor(sql: SqlHandle, table: string, { dimensions, metric }: CollectionShape) {
    this.dimensions = dimensions;
    this.metric = metric;
    this.#sql = sql;
    this.#table = table;
  }

  /**
   * Rejects with ERR_INVALID_CONFIG, also for a collection that was made with another shape; ERR_COLLECTION_NOT_FOUND
   * where there is none and `create` is false; ERR_STORE_UNAVAILABLE.
   */
  static async open(options: PgVectorOptions): Promise<PgVectors> {
    rejectUnknownKeys('options', options, ['sql', 'collection', 'dimensions', 'metric', 'create']);
    if (typeof options.sql?.query !== 'function')
      fail('ERR_INVALID_CONFIG', 'options.sql', options.sql, 'a handle of pg');
    const shape = requireShape(options);
    const name = requireCollectionName(options.collection);
    // the name has letters, digits and _ only; so it needs no escaping, and is quoted all the same
    const collection = new PgVectors(options.sql, `"lorakeet_vectors_${name}"`, shape);
    if (options.create ?? true) await collection.#create();
    await collection.#requireShape();
    return collection;
  }

  async put(records: readonly VectorRecord[]): Promise<void> {
    const rows = requireRecords(records, this).map(({ id, vector, metadata }) => ({
      id,
      embedding: textOf(vector),
      metadata,
    }));
    for (let first = 0; first < rows.length; first += BATCH) {
      await this.#run(
        `INSERT INTO ${this.#table} (id, embedding, metadata)
         SELECT id, embedding::vector, metadata FROM jsonb_to_recordset($1::jsonb) AS r(id text, embedding text, metadata jsonb)
         ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding, metadata = excluded.metadata`,
        [JSON.stringify(rows.slice(first, first + BATCH))],
      );
    }
  }

  async delete(ids: readonly string[]): Promise<void> {
    await this.#run(`DELETE FROM ${this.#table} WHERE id IN (SELECT jsonb_array_elements_text($1::jsonb))`, [
      JSON.stringify(requireIds(ids)),
    ]);
  }

  async search(query: VectorQuery): Promise<VectorHit[]> {
    const { vector, k, parts } = requireQuery(query, this);
    const values: unknown[] = [textOf(vector), k];
    const conditions = parts.map((part) => conditionOf(part, values));
    const operator = this.metric === 'cosine' ? '<=>' : '<#>';
    const rows = await this.#run(
      `SELECT id, metadata, embedding ${operator} $1::vector AS distance FROM ${this.#table}
       ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
       ORDER BY embedding ${operator} $1::vector LIMIT $2::int`,
      values,
    );
    return (rows as { id: string; metadata: VectorHit['metadata']; distance: number }[]).map((row) => ({
      id: row.id,
      score: Math.fround(this.metric === 'cosine' ? 1 - row.distance : -row.distance),
      metadata: row.metadata,
    }));
  }

  async count(): Promise<number> {
    const [row] = await this.#run(`SELECT count(*)::int AS count FROM ${this.#table}`);
    return (row as { count: number }).count;
  }

  async close(): Promise<void> {}

  async #create(): Promise<void> {
    await this.#run('CREATE EXTENSION IF NOT EXISTS vector');
    await this.#run(
      `CREATE TABLE IF NOT EXISTS ${this.#table} (
         id text COLLATE "C" PRIMARY KEY, embedding vector(${this.dimensions}) NOT NULL, metadata jsonb NOT NULL,
         metric text NOT NULL DEFAULT '${this.metric}' CHECK (metric = '${this.metric}'))`,
    );
  }

  /** The shape is part of the table: the type of its column, and the only metric that its rows may have. */
  async #requireShape(): Promise<void> {
    const rows = await this.#run(
      `SELECT format_type(a.atttypid, a.atttypmod) AS type, pg_get_expr(d.adbin, d.adrelid) AS metric
       FROM pg_attribute a JOIN pg_attribute m ON m.attrelid = a.attrelid AND m.attname = 'metric'
       JOIN pg_attrdef d ON d.adrelid = m.attrelid AND d.adnum = m.attnum
       WHERE a.attrelid = to_regclass($1) AND a.attname = 'embedding'`,
      [this.#table],
    );
    const found = rows[0] as { type: string; metric: string } | undefined;
    if (!found) throw new LorakeetError('ERR_COLLECTION_NOT_FOUND', `there is no table ${this.#table} of vectors`);
    const text = `${found.type} ${found.metric}`;
    if (found.type !== `vector(${this.dimensions})` || !found.metric.startsWith(`'${this.metric}'`)) {
      const expected = `vector(${this.dimensions}) and ${this.metric}`;
      throw new LorakeetError('ERR_INVALID_CONFIG', `options: the collection has ${text}, expected ${expected}`);
    }
  }

  async #run(text: string, values: unknown[] = []): Promise<unknown[]> {
    try {
      return (await this.#sql.query(text, values)).rows;
    } catch (cause) {
      const { code, message } = cause as { code?: string; message?: string };
      if (code === UNDEFINED_TABLE) {
        throw new LorakeetError('ERR_COLLECTION_NOT_FOUND', `${this.#table}: ${message}`, { cause });
      }
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', `${this.#table}: ${message}`, { cause });
    }
  }
}

function textOf(vector: Float32Array): string {
  return `[${vector.join(',')}]`;
}

/** SQL for one part; its key and values become parameters. */
function conditionOf(part: FilterPart, values: unknown[]): string {
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const value = `metadata -> ${parameter(part.key)}::text`;
  if ('anyOf' in part) {
    return `(${value}) IN (SELECT jsonb_array_elements(${parameter(JSON.stringify(part.anyOf))}::jsonb))`;
  }
  const bounds = `${parameter(part.min)}::float8 AND ${parameter(part.max)}::float8`;
  return `CASE WHEN jsonb_typeof(${value}) = 'number' THEN (${value})::float8 BETWEEN ${bounds} ELSE false END`;
}
