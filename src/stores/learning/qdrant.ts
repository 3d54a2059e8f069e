/** Metadata of the learning engine's adapters in a collection of Qdrant, through its REST client. */
import { randomUUID } from 'node:crypto';
import type { QdrantClient, QdrantClientParams, Schemas } from '@qdrant/js-client-rest';
import { rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  type MetadataRow,
  type MetadataTable,
  type NewMetadataRow,
  OutcomeUnknown,
  type Replacement,
  TextAdapterStorage,
} from '../../learning/text-storage.js';
import { requireCollectionName } from '../../vectors/vector-collection.js';
import { isRefusal, openQdrantClient, sendToQdrant } from '../qdrant-client.js';

export interface QdrantAdapterStorageOptions {
  /** An own client, or settings for one, as @qdrant/js-client-rest takes them: url, apiKey, timeout. */
  client?: QdrantClient | QdrantClientParams;
  /** Up to 40 of a-z, 0-9 and _, a letter first. Default: lorakeet_adapters. */
  collection?: string;
  /** Make the collection and its indexes when missing; default true. */
  create?: boolean;
}

/** Every point needs a vector, of which nothing is asked. */
const VECTOR = [1];
const SHAPE = { size: VECTOR.length, distance: 'Dot' } as const;
const INDEXES = [
  ['task', 'keyword'],
  ['version', 'integer'],
] as const;
const PAGE_POINTS = 100;
/** In a cluster: one replica orders the writes of a point, and reads see what most of them have. */
const ORDERED = { wait: true, ordering: 'strong' } as const;
const CONSISTENT = { consistency: 'majority' } as const;

/**
 * A storage for any number of machines. An update writes on condition that the version is still the one before, and then reads
 * what has come of it, as Qdrant does not tell; where another update has come in between, it fails with `Outcome unknown`.
 */
export class QdrantAdapterStorage extends TextAdapterStorage {
  /**
   * Rejects with ERR_INVALID_CONFIG, also for a collection of something else; ERR_COLLECTION_NOT_FOUND where there is none and
   * `create` is false; ERR_STORE_UNAVAILABLE where the package @qdrant/js-client-rest is not installed or the service cannot
   * be reached.
   */
  static async open(options: QdrantAdapterStorageOptions = {}): Promise<QdrantAdapterStorage> {
    rejectUnknownKeys('options', options, ['client', 'collection', 'create']);
    const { client = {}, collection = 'lorakeet_adapters', create = true } = options;
    const name = requireCollectionName(collection);
    const points = new Points(await openQdrantClient(client), name);
    await points.open(create);
    return new QdrantAdapterStorage(points);
  }
}

/** What a point has beside its id, which is the adapter's. */
interface Payload {
  task: string;
  version: number;
  /** Another one with every write. */
  revision: string;
  metadata: string;
}

class Points implements MetadataTable {
  readonly #client: QdrantClient;
  readonly #name: string;

  constructor(client: QdrantClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  async open(create: boolean): Promise<void> {
    if (create) await this.#createCollection();
    const { config } = await this.#send(() => this.#client.getCollection(this.#name));
    const { size, distance } = (config.params.vectors ?? {}) as { size?: number; distance?: string };
    if (size !== SHAPE.size || distance !== SHAPE.distance) {
      const what = `options.collection: ${this.#name} has ${size} dimensions and ${distance}, so it is none of adapters`;
      throw new LorakeetError('ERR_INVALID_CONFIG', what);
    }
    for (const [field_name, field_schema] of create ? INDEXES : []) {
      await this.#send(() => this.#client.createPayloadIndex(this.#name, { wait: true, field_name, field_schema }));
    }
  }

  async put(row: NewMetadataRow): Promise<void> {
    const points = [{ id: row.id, vector: VECTOR, payload: payloadOf(row) }];
    await this.#write(() => this.#client.upsert(this.#name, { ...ORDERED, points }));
  }

  async get(id: string): Promise<string | undefined> {
    return (await this.#read(id))?.metadata;
  }

  async list(task: string | undefined): Promise<MetadataRow[]> {
    const filter = task === undefined ? {} : { filter: { must: [{ key: 'task', match: { value: task } }] } };
    const rows: MetadataRow[] = [];
    let offset: Schemas['ExtendedPointId'] | undefined;
    do {
      const request = { ...CONSISTENT, ...filter, limit: PAGE_POINTS, with_payload: true, offset };
      const page = await this.#send(() => this.#client.scroll(this.#name, request));
      rows.push(...page.points.map(({ id, payload }) => ({ id: `${id}`, text: textOf(payload) })));
      offset = (page.next_page_offset ?? undefined) as typeof offset;
    } while (offset !== undefined);
    return rows;
  }

  async replace(row: NewMetadataRow, expected: number): Promise<Replacement> {
    const before = await this.#read(row.id);
    if (!before) return 'missing';
    if (before.version !== expected) return 'changed';
    const payload = payloadOf(row);
    const filter = { must: [{ has_id: [row.id] }, { key: 'version', match: { value: expected } }] };
    await this.#write(() => this.#client.overwritePayload(this.#name, { ...ORDERED, payload, filter }));
    const after = await this.#read(row.id).catch((error: Error) => {
      throw new OutcomeUnknown(error.message, { cause: error });
    });
    if (!after) return 'missing';
    if (after.revision === payload.revision) return 'replaced';
    // of those that have seen the version before, another one was first
    if (after.version === row.version) return 'changed';
    throw new OutcomeUnknown(`collection ${this.#name}: another update of ${row.id} came next`);
  }

  async remove(id: string): Promise<void> {
    await this.#send(() => this.#client.delete(this.#name, { ...ORDERED, points: [id] }));
  }

  async #createCollection(): Promise<void> {
    const exists = async () => (await this.#send(() => this.#client.collectionExists(this.#name))).exists;
    if (await exists()) return;
    try {
      await this.#send(() => this.#client.createCollection(this.#name, { vectors: SHAPE }));
    } catch (error) {
      // another process may have been first
      if (!(await exists())) throw error;
    }
  }

  async #read(id: string): Promise<Payload | undefined> {
    const request = { ...CONSISTENT, ids: [id], with_payload: true };
    const [point] = await this.#send(() => this.#client.retrieve(this.#name, request));
    return point && { ...(point.payload as unknown as Payload), metadata: textOf(point.payload) };
  }

  async #write(request: () => Promise<unknown>): Promise<void> {
    try {
      await this.#send(request);
    } catch (error) {
      if (isRefusal(error)) throw error;
      throw new OutcomeUnknown((error as Error).message, { cause: error });
    }
  }

  #send<T>(request: () => Promise<T>): Promise<T> {
    return sendToQdrant(this.#name, request);
  }
}

function payloadOf({ task, version, text }: NewMetadataRow): Payload & Record<string, unknown> {
  return { task, version, revision: randomUUID(), metadata: text };
}

/** Of a point that somebody else has put there it is no metadata. */
function textOf(payload: { metadata?: unknown } | null | undefined): string {
  return typeof payload?.metadata === 'string' ? payload.metadata : '';
}
