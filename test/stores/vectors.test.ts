/** Every form of vector search against the shared suite, and the suite against forms that are wrong on purpose. */
import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { QdrantClient } from '@qdrant/js-client-rest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PgVectors } from '../../src/stores/vectors/pgvector.js';
import { QdrantVectors } from '../../src/stores/vectors/qdrant.js';
import { MemoryVectors } from '../../src/stores/vectors.js';
import { vectorConformance } from '../../src/testing/index.js';
import type { CollectionShape, VectorHit, VectorQuery, VectorRecord } from '../../src/vectors/vector-collection.js';
import { codeOf } from '../adapter/helpers.js';
import { QdrantContractServer } from './qdrant-contract-server.js';

const shape: CollectionShape = { dimensions: 3, metric: 'cosine' };
let made = 0;
const nextName = () => `test_${made++}`;

describe('MemoryVectors', () => {
  it.each(vectorConformance({ open: async (options) => new MemoryVectors(options) }))('$name', ({ run }) => run());
});

describe('PgVectors over PGlite', () => {
  let sql: PGlite;
  beforeAll(async () => {
    sql = await PGlite.create({ extensions: { vector } });
  }, 60_000);
  afterAll(() => sql.close());
  const names = new WeakMap<object, string>();
  const openAs = async (collection: string, options: CollectionShape) => {
    const opened = await PgVectors.open({ sql, collection, ...options });
    names.set(opened, collection);
    return opened;
  };
  const cases = vectorConformance({
    open: (options) => openAs(nextName(), options),
    reopen: (one) => openAs(names.get(one) as string, { dimensions: one.dimensions, metric: one.metric }),
  });
  it.each(cases)('$name', ({ run }) => run());

  it('refuses names that are not names, other shapes, and collections that are not there', async () => {
    for (const collection of ['', 'a"; DROP TABLE x; --', 'A', '1', 'a'.repeat(41), 'é', undefined]) {
      await expect(PgVectors.open({ ...shape, sql, collection: collection as string })).rejects.toMatchObject({
        code: 'ERR_INVALID_CONFIG',
      });
    }
    await openAs('known', shape);
    await expect(openAs('known', { ...shape, dimensions: 4 })).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
    await expect(openAs('known', { ...shape, metric: 'dot' })).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
    const missing = { ...shape, sql, collection: 'missing', create: false };
    await expect(PgVectors.open(missing)).rejects.toMatchObject({ code: 'ERR_COLLECTION_NOT_FOUND' });
  });

  it('says when the table has gone, and when the database cannot be reached', async () => {
    const opened = await openAs('short_lived', shape);
    await sql.query('DROP TABLE lorakeet_vectors_short_lived');
    await expect(opened.count()).rejects.toMatchObject({ code: 'ERR_COLLECTION_NOT_FOUND' });
    const query = () => Promise.reject(new Error('connect ECONNREFUSED'));
    const unreachable = { ...shape, sql: { query }, collection: 'any' };
    await expect(PgVectors.open(unreachable)).rejects.toMatchObject({ code: 'ERR_STORE_UNAVAILABLE' });
  });
});

describe('QdrantVectors over a server made from the schema, not a Qdrant', () => {
  let server: QdrantContractServer;
  beforeAll(async () => {
    server = await QdrantContractServer.start();
  });
  afterAll(() => server.stop());
  const names = new WeakMap<object, string>();
  const openAs = async (collection: string, options: CollectionShape) => {
    const opened = await QdrantVectors.open({ client: { url: server.url }, collection, exact: true, ...options });
    names.set(opened, collection);
    return opened;
  };
  const cases = vectorConformance({
    open: (options) => openAs(nextName(), options),
    reopen: (one) => openAs(names.get(one) as string, { dimensions: one.dimensions, metric: one.metric }),
  });
  it.each(cases)('$name', ({ run }) => run());

  it('refuses other shapes, and collections that are not there', async () => {
    await openAs('known', shape);
    await expect(openAs('known', { ...shape, dimensions: 4 })).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
    await expect(openAs('known', { ...shape, metric: 'dot' })).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
    await expect(openAs('../known', shape)).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
    const missing = { ...shape, client: { url: server.url }, collection: 'missing', create: false };
    await expect(QdrantVectors.open(missing)).rejects.toMatchObject({ code: 'ERR_COLLECTION_NOT_FOUND' });
  });

  it('takes a client of your own', async () => {
    const client = new QdrantClient({ url: server.url, checkCompatibility: false });
    const opened = await QdrantVectors.open({ ...shape, client, collection: nextName() });
    await opened.put([{ id: 'a', vector: Float32Array.of(1, 2, 3) }]);
    expect((await opened.search({ vector: Float32Array.of(1, 2, 3), k: 1 }))[0]).toMatchObject({ id: 'a', score: 1 });
  });

  it('says when the collection has gone, and when the service cannot be reached', async () => {
    const opened = await openAs('short_lived', shape);
    server.collections.delete('short_lived');
    await expect(opened.count()).rejects.toMatchObject({ code: 'ERR_COLLECTION_NOT_FOUND' });
    const client = { url: 'http://127.0.0.1:9' };
    await expect(QdrantVectors.open({ ...shape, client, collection: 'any' })).rejects.toMatchObject({
      code: 'ERR_STORE_UNAVAILABLE',
    });
  });
});

describe('the suite', () => {
  const right = (options: CollectionShape) => new MemoryVectors(options);
  type Change = (hits: VectorHit[], query: VectorQuery) => VectorHit[];
  const changed = (change: Change) =>
    class extends MemoryVectors {
      override async search(query: VectorQuery) {
        return change(await super.search(query), query);
      }
    };
  const MUTANTS: Record<string, new (options: CollectionShape) => MemoryVectors> = {
    'gives the worst first': changed((hits) => hits.reverse()),
    'gives one too few': changed((hits) => hits.slice(1)),
    'forgets the metadata': changed((hits) => hits.map((hit) => ({ ...hit, metadata: {} }))),
    'takes distances for scores': changed((hits) => hits.map((hit) => ({ ...hit, score: 1 - hit.score }))),
    'ignores the filter': class extends MemoryVectors {
      override search({ vector: direction, k }: VectorQuery) {
        return super.search({ vector: direction, k });
      }
    },
    'keeps what is deleted': class extends MemoryVectors {
      override async delete() {}
    },
    'puts some before it refuses the rest': class extends MemoryVectors {
      override async put(records: readonly VectorRecord[]) {
        if (!Array.isArray(records)) return super.put(records);
        for (const record of records) await super.put([record]);
      }
    },
  };
  it.each(Object.entries(MUTANTS))('catches one that %s', async (_, Mutant) => {
    const failures = await Promise.all(
      vectorConformance({ open: async (options) => new Mutant(options) }).map(({ run }) =>
        Promise.resolve(run()).then(
          () => 0,
          () => 1,
        ),
      ),
    );
    expect(failures).toContain(1);
  });

  it('has nothing against one that is right', async () => {
    for (const { run } of vectorConformance({ open: async (options) => right(options) })) await run();
  });
});

it('MemoryVectors refuses shapes that are none', () => {
  for (const options of [
    { ...shape, dimensions: 0 },
    { ...shape, dimensions: 1.5 },
    { ...shape, metric: 'euclid' },
    { ...shape, k: 3 },
  ]) {
    expect(codeOf(() => new MemoryVectors(options as CollectionShape))).toBe('ERR_INVALID_CONFIG');
  }
});
