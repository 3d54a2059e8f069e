/** Metadata in Qdrant against a server made from the schema, which is no Qdrant: see qdrant-contract-server.ts. */
import { QdrantClient } from '@qdrant/js-client-rest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InMemoryBlobStorage } from '../../../src/learning/index.js';
import { failure, success } from '../../../src/learning/result.js';
import { QdrantAdapterStorage } from '../../../src/stores/learning/qdrant.js';
import { adapterStorageConformance } from '../../../src/testing/index.js';
import { idOf, metadataOf } from '../../../src/testing/learning-samples.js';
import { rejection } from '../../adapter/formats/helpers.js';
import { liveThroughAll } from '../../learning/engine-on-storages.js';
import { startLosingProxy } from '../../support/losing-proxy.js';
import { QdrantContractServer } from '../qdrant-contract-server.js';

describe('QdrantAdapterStorage over a server made from the schema, not a Qdrant', () => {
  let server: QdrantContractServer;
  let made = 0;
  const newName = () => `test_${made++}`;
  const nameOf = new WeakMap<object, string>();
  const open = async (collection = newName()) => {
    const storage = await QdrantAdapterStorage.open({ client: { url: server.url }, collection });
    nameOf.set(storage, collection);
    return storage;
  };
  const collectionOf = (storage: object) => {
    const collection = server.collections.get(nameOf.get(storage) as string);
    if (!collection) throw new Error('no such collection');
    return collection;
  };
  beforeAll(async () => {
    server = await QdrantContractServer.start();
  });
  afterAll(() => server.stop());

  const cases = adapterStorageConformance({
    open: () => open(),
    reopen: (storage) => open(nameOf.get(storage)),
    damage: async (storage, id, text) => {
      const point = collectionOf(storage).points.get(id);
      if (point) point.payload.metadata = text;
    },
    unreachable: async () => {
      const storage = await open();
      server.collections.delete(nameOf.get(storage) as string);
      return storage;
    },
  });
  it.each(cases)('$name', ({ run }) => run());

  it('makes the collection and its indexes, once', async () => {
    const name = newName();
    const storages = await Promise.all([open(name), open(name), open(name)]);
    expect(collectionOf(storages[0])).toMatchObject({ size: 1, distance: 'Dot' });
    expect([...collectionOf(storages[0]).indexes]).toEqual([
      ['task', 'keyword'],
      ['version', 'integer'],
    ]);
    await storages[0].storeMetadata(metadataOf(1, { taskName: 'Task' }));
    const { payload } = collectionOf(storages[0]).points.get(idOf(1)) ?? {};
    expect(payload).toMatchObject({ task: 'task', version: 1 });
  });

  it('refuses what it cannot open', async () => {
    const client = { url: server.url };
    const refused = (options: object) => rejection(() => QdrantAdapterStorage.open({ client, ...options }));
    expect(await refused({ collection: '../x' })).toBe('ERR_INVALID_CONFIG');
    expect(await refused({ prefix: 'x' })).toBe('ERR_INVALID_CONFIG');
    expect(await refused({ client: null })).toBe('ERR_INVALID_CONFIG');
    expect(await refused({ collection: 'nothing', create: false })).toBe('ERR_COLLECTION_NOT_FOUND');
    expect(await refused({ client: { url: 'http://127.0.0.1:9' } })).toBe('ERR_STORE_UNAVAILABLE');
    const other = new QdrantClient({ ...client, checkCompatibility: false });
    await other.createCollection('other', { vectors: { size: 3, distance: 'Cosine' } });
    expect(await refused({ collection: 'other' })).toBe('ERR_INVALID_CONFIG');
    expect(server.collections.get('other')?.indexes.size).toBe(0);
  });

  it('says where it cannot know whether a write has happened', async () => {
    const proxy = await startLosingProxy(Number(new URL(server.url).port), /^PUT \S+\/points\b/);
    const direct = await open();
    const collection = nameOf.get(direct) as string;
    const storage = await QdrantAdapterStorage.open({ client: { url: `http://127.0.0.1:${proxy.port}` }, collection });
    expect((await storage.storeMetadata(metadataOf(1))).error).toMatch(/^Outcome unknown: collection test_\d+: fetch/);
    expect((await direct.getMetadata(idOf(1))).isSuccess).toBe(true);
    proxy.loseNext();
    expect((await storage.updateMetadata(metadataOf(1, { version: 2 }))).error).toMatch(/^Outcome unknown: /);
    expect((await direct.getMetadata(idOf(1))).value.version).toBe(2);
    expect(proxy.lost()).toBe(2);
    proxy.close();
    const gone = (await storage.updateMetadata(metadataOf(1, { version: 3 }))).error;
    expect(gone).toMatch(/^collection test_\d+: fetch failed: ./);
  });

  it('looks at what has come of an update', async () => {
    const direct = await open();
    const collection = nameOf.get(direct) as string;
    let meanwhile: (() => Promise<unknown>)[] = [];
    class Interrupted extends QdrantClient {
      override async overwritePayload(...args: Parameters<QdrantClient['overwritePayload']>) {
        const [before, after] = meanwhile;
        meanwhile = [];
        await before?.();
        const result = await super.overwritePayload(...args);
        await after?.();
        return result;
      }
    }
    const client = new Interrupted({ url: server.url, checkCompatibility: false });
    const storage = await QdrantAdapterStorage.open({ client, collection });
    const update = (version: number) => storage.updateMetadata(metadataOf(1, { version }));
    const other = (version: number) => () =>
      direct.updateMetadata(metadataOf(1, { version, taskName: 'of another process' }));
    const nothing = async () => {};
    await storage.storeMetadata(metadataOf(1));
    meanwhile = [other(2)];
    expect(await update(2)).toEqual(failure(`Adapter changed meanwhile: ${idOf(1)}`));
    expect((await direct.getMetadata(idOf(1))).value.taskName).toBe('of another process');
    meanwhile = [nothing, other(4)];
    expect((await update(3)).error).toMatch(/^Outcome unknown: .*another update/);
    meanwhile = [() => direct.deleteMetadata(idOf(1))];
    expect(await update(5)).toEqual(failure(`Adapter not found: ${idOf(1)}`));
    expect(await direct.listAdapters()).toEqual(success([]));
  });

  it('lets the engine live', async () => {
    const blobs = new InMemoryBlobStorage();
    await liveThroughAll(await open(), blobs);
    expect(blobs.count).toBe(0);
  });
});
