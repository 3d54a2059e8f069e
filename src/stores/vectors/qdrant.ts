/** Vectors in a collection of Qdrant, through its REST client. */
import { createHash } from 'node:crypto';
import type { QdrantClient, QdrantClientParams } from '@qdrant/js-client-rest';
import { rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  type CollectionShape,
  type FilterPart,
  type Metadata,
  type MetadataValue,
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
import { openQdrantClient, sendToQdrant } from '../qdrant-client.js';

export interface QdrantOptions extends CollectionShape {
  /** An own client, or settings for one, as @qdrant/js-client-rest takes them: url, apiKey, timeout. */
  client?: QdrantClient | QdrantClientParams;
  /** Up to 40 of a-z, 0-9 and _, a letter first. */
  collection: string;
  /** Make the collection when there is none; default true. */
  create?: boolean;
  /** Look at every vector in place of the index; default false. */
  exact?: boolean;
}

type Schemas = import('@qdrant/js-client-rest').Schemas;

/** Points of one request. */
const BATCH = 1000;
const DISTANCES = { cosine: 'Cosine', dot: 'Dot' } as const;

/**
 * Qdrant's ids are numbers or UUIDs: a record's is the start of the SHA-256 of its own id, which stands in the payload.
 * Records are put 1000 to a request, each of which happens or does not.
 */
export class QdrantVectors implements VectorCollection {
  readonly dimensions: number;
  readonly metric: Metric;
  readonly #client: QdrantClient;
  readonly #name: string;
  readonly #exact: boolean;

  private constructor(client: QdrantClient, name: string, { dimensions, metric }: CollectionShape, exact: boolean) {
    this.dimensions = dimensions;
    this.metric = metric;
    this.#client = client;
    this.#name = name;
    this.#exact = exact;
  }

  /**
   * Rejects with ERR_INVALID_CONFIG, also for a collection that was made with another shape; ERR_COLLECTION_NOT_FOUND
   * where there is none and `create` is false; ERR_STORE_UNAVAILABLE where the package @qdrant/js-client-rest is not
   * installed or the service cannot be reached.
   */
  static async open(options: QdrantOptions): Promise<QdrantVectors> {
    rejectUnknownKeys('options', options, ['client', 'collection', 'dimensions', 'metric', 'create', 'exact']);
    const shape = requireShape(options);
    const name = requireCollectionName(options.collection);
    const client = await openQdrantClient(options.client ?? {});
    const vectors = new QdrantVectors(client, name, shape, options.exact ?? false);
    await vectors.#open(options.create ?? true);
    return vectors;
  }

  async put(records: readonly VectorRecord[]): Promise<void> {
    const points = requireRecords(records, this).map(({ id, vector, metadata }) => ({
      id: pointId(id),
      vector: Array.from(vector),
      payload: { id, metadata },
    }));
    for (let first = 0; first < points.length; first += BATCH) {
      const some = points.slice(first, first + BATCH);
      await this.#run(() => this.#client.upsert(this.#name, { wait: true, points: some }));
    }
  }

  async delete(ids: readonly string[]): Promise<void> {
    const points = requireIds(ids).map(pointId);
    for (let first = 0; first < points.length; first += BATCH) {
      const some = points.slice(first, first + BATCH);
      await this.#run(() => this.#client.delete(this.#name, { wait: true, points: some }));
    }
  }

  async search(query: VectorQuery): Promise<VectorHit[]> {
    const { vector, k, parts } = requireQuery(query, this);
    const { points } = await this.#run(() =>
      this.#client.query(this.#name, {
        query: Array.from(vector),
        limit: k,
        with_payload: true,
        ...(parts.length > 0 && { filter: { must: parts.map(conditionOf) } }),
        ...(this.#exact && { params: { exact: true } }),
      }),
    );
    return points.map(({ score, payload }) => {
      const { id, metadata } = payload as { id: string; metadata: Metadata };
      return { id, score: Math.fround(score), metadata };
    });
  }

  async count(): Promise<number> {
    return (await this.#run(() => this.#client.count(this.#name, { exact: true }))).count;
  }

  async close(): Promise<void> {}

  async #open(create: boolean): Promise<void> {
    const { exists } = await this.#run(() => this.#client.collectionExists(this.#name));
    if (!exists && create) {
      const vectors = { size: this.dimensions, distance: DISTANCES[this.metric] };
      await this.#run(() => this.#client.createCollection(this.#name, { vectors }));
      return;
    }
    const { config } = await this.#run(() => this.#client.getCollection(this.#name));
    const { size, distance } = (config.params.vectors ?? {}) as { size?: number; distance?: string };
    if (size !== this.dimensions || distance !== DISTANCES[this.metric]) {
      const expected = `${this.dimensions} and ${DISTANCES[this.metric]}`;
      const found = `${size} dimensions and ${distance}`;
      throw new LorakeetError('ERR_INVALID_CONFIG', `options: the collection has ${found}, expected ${expected}`);
    }
  }

  #run<T>(request: () => Promise<T>): Promise<T> {
    return sendToQdrant(this.#name, request);
  }
}

/** A UUID of version 8: 122 bits of the id's SHA-256. */
function pointId(id: string): string {
  const bytes = createHash('sha256').update(id).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x80;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function conditionOf(part: FilterPart): Schemas['Condition'] {
  const key = `metadata.${part.key}`;
  if ('anyOf' in part) return { should: part.anyOf.map((value) => equals(key, value)) };
  return { key, range: { gte: part.min, lte: part.max } };
}

/** Qdrant matches integers, strings and booleans; any other number lies between itself and itself. */
function equals(key: string, value: MetadataValue): Schemas['FieldCondition'] {
  return typeof value === 'number' ? { key, range: { gte: value, lte: value } } : { key, match: { value } };
}
