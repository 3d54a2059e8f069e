/** The Postgres stores against a real server, where one is installed. */
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { PostgresDatabase } from '../../src/stores/postgres/database.js';
import { PostgresAdapterStore, PostgresVersionStore } from '../../src/stores/postgres.js';
import { adapterStoreConformance } from '../../src/testing/store-conformance.js';
import { versionStoreConformance } from '../../src/testing/version-store-conformance.js';
import { AdapterVersions, checkStore, collectGarbage } from '../../src/versions/index.js';
import { type BlobStore, sha256Of } from '../../src/versions/version-store.js';
import { coded } from '../personalization/samples.js';
import { covered, isRequired, skipped } from '../support/coverage-report.js';
import { PostgresServer, postgresIsMissing } from '../support/postgres.js';

const missing = postgresIsMissing();
const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

if (missing) {
  skipped('server', 'postgres', missing);
  it.skipIf(!isRequired('postgres'))('LORAKEET_REQUIRE lists postgres', () => expect.fail(missing));
}

describe.skipIf(missing)(`against a PostgreSQL server${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  let admin: Pool;
  let schemas = 0;
  const newSchema = () => `test_${schemas++}`;

  beforeAll(async () => {
    server = await PostgresServer.start();
    // the server's end is no failure of a test
    admin = new Pool({ connectionString: server.url(), max: 2 }).on('error', () => {});
  });
  afterAll(async () => {
    covered('server', 'postgres');
    await admin?.end();
    await server?.stop();
  });

  describe('PostgresAdapterStore', () => {
    const schemaOf = new WeakMap<object, string>();
    const open = async (schema = newSchema()) => {
      const store = await PostgresAdapterStore.open({ connection: server.url(), schema });
      schemaOf.set(store, schema);
      return store;
    };
    const cases = adapterStoreConformance({
      open: () => open(),
      reopen: (store) => open(schemaOf.get(store)),
      close: (store) => (store as PostgresAdapterStore).close(),
    });
    it.each(cases)('$name', ({ run }) => run());
  });

  describe('PostgresVersionStore', () => {
    const schemaOf = new WeakMap<object, string>();
    const open = async (schema = newSchema()) => {
      const store = await PostgresVersionStore.open({ connection: { connectionString: server.url(), max: 3 }, schema });
      schemaOf.set(store, schema);
      return store;
    };
    const cases = versionStoreConformance({
      open: () => open(),
      reopen: (store) => open(schemaOf.get(store)),
      close: (store) => (store as PostgresVersionStore).close(),
    });
    it.each(cases)('$name', ({ run }) => run());
  });

  describe('blobs', () => {
    const open = (schema: string) => PostgresVersionStore.open({ connection: server.url(), schema });
    const MiB = 2 ** 20;
    const many = new Uint8Array(9 * MiB + 5).map((_, i) => (i * 2654435761) >>> 24);

    it.each([4 * MiB, 4 * MiB + 1, 8 * MiB, 9 * MiB + 5])('of %i bytes come back from their chunks', async (length) => {
      const schema = newSchema();
      const store = await open(schema);
      const blob = many.subarray(0, length);
      const name = await store.putBlob(blob);
      expect(Buffer.compare((await store.getBlob(name)) as Uint8Array, blob)).toBe(0);
      const [{ count }] = (await admin.query(`SELECT count(*)::int FROM ${schema}.version_chunks`)).rows;
      expect(count).toBe(Math.ceil(length / (4 * MiB)));
      expect(await store.deleteBlob(name, new Date(Date.now() + 60_000))).toBe(true);
      const left = await admin.query(`SELECT FROM ${schema}.version_chunks`);
      expect(left.rows).toEqual([]);
      await store.close();
    });

    it('that lack a chunk or have a damaged one are mended when they are put again', async () => {
      const schema = newSchema();
      const store = await open(schema);
      for (const [length, position] of [
        [9 * MiB, 4 * MiB],
        [100, 0],
      ]) {
        const blob = many.subarray(0, length);
        const name = await store.putBlob(blob);
        await admin.query(`DELETE FROM ${schema}.version_chunks WHERE starts_at = $1`, [position]);
        await expect(store.getBlob(name)).rejects.toThrow(coded('ERR_STORE_FAILURE', `its chunk at ${position}`));
        await store.putBlob(blob);
        expect(Buffer.compare((await store.getBlob(name)) as Uint8Array, blob)).toBe(0);
        const damage = `UPDATE ${schema}.version_chunks SET bytes = set_byte(bytes, 3, 1) WHERE starts_at = $1`;
        await admin.query(damage, [position]);
        expect(sha256Of((await store.getBlob(name)) as Uint8Array)).not.toBe(name);
        await store.putBlob(blob);
        expect(Buffer.compare((await store.getBlob(name)) as Uint8Array, blob)).toBe(0);
      }
      await store.close();
    });

    it('lie in another store where there is one', async () => {
      const [schema, blobs] = [newSchema(), new MemoryVersionStore()];
      const store = await PostgresVersionStore.open({ connection: server.url(), schema, blobs });
      const versions = new AdapterVersions(store, 'feed');
      const { version } = await versions.publish({ files: { 'adapter.bin': bytes('weights') } });
      await versions.activate(version, { override: true, reason: 'a test' });
      expect((await versions.load('active')).files.get('adapter.bin')).toEqual(bytes('weights'));
      const found = await admin.query(`SELECT FROM ${schema}.version_blobs`);
      expect(found.rows).toEqual([]);
      const report = await checkStore(store);
      expect(report).toMatchObject({ versions: 1, changes: 2, blobs: 4, unreferenced: 0, problems: [] });
      expect(await collectGarbage(store, { olderThanMs: 0, now: () => new Date(Date.now() + 60_000) })).toBe(0);
      await store.deleteBlob(await blobs.putBlob(bytes('other')), new Date(Date.now() + 60_000));
      expect((await checkStore(store)).blobs).toBe(4);
      await store.close();
      const wrong = PostgresVersionStore.open({ connection: server.url(), blobs: {} as BlobStore });
      await expect(wrong).rejects.toThrow(coded('ERR_INVALID_CONFIG', 'options.blobs'));
    });
  });

  it('lists page after page, each once', async () => {
    const schema = newSchema();
    const store = await PostgresVersionStore.open({ connection: server.url(), schema });
    await admin.query(`
      INSERT INTO ${schema}.version_heads SELECT convert_to('h' || i, 'UTF8'), gen_random_uuid(), '' FROM generate_series(1, 2000) AS i;
      INSERT INTO ${schema}.version_blobs SELECT sha256(i::text::bytea), i, to_timestamp(i) FROM generate_series(1, 2001) AS i;`);
    const heads = [];
    for await (const name of store.listHeads()) heads.push(name);
    expect(heads.sort()).toEqual(Array.from({ length: 2000 }, (_, i) => `h${i + 1}`).sort());
    const blobs = [];
    for await (const blob of store.listBlobs()) blobs.push(blob);
    blobs.sort((a, b) => a.sizeBytes - b.sizeBytes);
    expect(blobs).toEqual(
      Array.from({ length: 2001 }, (_, i) => ({
        sha256: sha256Of(bytes(`${i + 1}`)),
        sizeBytes: i + 1,
        putAt: new Date((i + 1) * 1000),
      })),
    );
    await store.close();
  });

  it('saves all adapters of a call or none, however many statements it takes', async () => {
    const schema = newSchema();
    const store = await PostgresAdapterStore.open({ connection: server.url(), schema });
    await admin.query(`ALTER TABLE ${schema}.stored_adapters ADD CHECK (id <> 'user-2100')`);
    const adapters = Array.from({ length: 2500 }, (_, i) => ({ id: `user-${i}`, bytes: bytes(`${i}`) }));
    await expect(store.save(adapters)).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'check constraint'));
    expect(await store.load(['user-0', 'user-2499'])).toEqual([undefined, undefined]);
    const long = 'x'.repeat(100_000).replace(/x/g, (_, i) => String.fromCodePoint(0x4e00 + (i % 9973)));
    await store.save([...adapters.filter(({ id }) => id !== 'user-2100'), { id: long, bytes: bytes('long') }]);
    expect(await store.load(['user-0', 'user-2100', 'user-2499', long])).toEqual([
      bytes('0'),
      undefined,
      bytes('2499'),
      bytes('long'),
    ]);
    await store.close();
  });

  it('refuses what would not fit into a row', async () => {
    const connection = server.url();
    const large = new Uint8Array(2 ** 27 + 1);
    const adapters = await PostgresAdapterStore.open({ connection, schema: newSchema() });
    const saved = adapters.save([{ id: 'a', bytes: large }]);
    await expect(saved).rejects.toThrow(coded('ERR_INVALID_ARGUMENT', 'adapters[0].bytes'));
    const versions = await PostgresVersionStore.open({ connection, schema: newSchema() });
    await expect(versions.setHead('a', large, undefined)).rejects.toThrow(coded('ERR_INVALID_ARGUMENT', 'bytes'));
    await Promise.all([adapters.close(), versions.close()]);
  });

  describe('migrations', () => {
    it('are made once, by however many that start at once', async () => {
      const schema = newSchema();
      const openings = Array.from({ length: 8 }, (_, i) => {
        const Store = i % 2 === 0 ? PostgresVersionStore : PostgresAdapterStore;
        return Store.open({ connection: server.url(), schema });
      });
      const stores = await Promise.all<PostgresVersionStore | PostgresAdapterStore>(openings);
      await Promise.all(stores.map((store) => store.close()));
      const { rows } = await admin.query(`SELECT part, version FROM ${schema}.lorakeet_migrations ORDER BY part`);
      expect(rows).toEqual([
        { part: 'adapters', version: 1 },
        { part: 'versions', version: 1 },
      ]);
    });

    it('are refused where a later lorakeet has been', async () => {
      const schema = newSchema();
      await (await PostgresVersionStore.open({ connection: server.url(), schema })).close();
      await admin.query(`INSERT INTO ${schema}.lorakeet_migrations (part, version) VALUES ('versions', 2)`);
      const opening = PostgresVersionStore.open({ connection: server.url(), schema });
      await expect(opening).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'have version 2, expected at most 1'));
      await (await PostgresAdapterStore.open({ connection: server.url(), schema })).close();
    });

    it('go on from where an earlier lorakeet was, or leave everything as it was', async () => {
      const options = { connection: server.url(), schema: newSchema() };
      const first = (schema: string) => `CREATE TABLE ${schema}.jobs (id integer)`;
      const second = (schema: string) => `ALTER TABLE ${schema}.jobs ADD due timestamptz`;
      await (await PostgresDatabase.open(options, { part: 'jobs', steps: [first] })).close();
      const broken = { part: 'jobs', steps: [first, second, () => 'SELECT no_such_column'] };
      await expect(PostgresDatabase.open(options, broken)).rejects.toThrow(
        coded('ERR_STORE_UNAVAILABLE', 'no_such_column'),
      );
      const columns = async () =>
        (await admin.query(`SELECT * FROM ${options.schema}.jobs`)).fields.map(({ name }) => name);
      expect(await columns()).toEqual(['id']);
      await (await PostgresDatabase.open(options, { part: 'jobs', steps: [first, second] })).close();
      expect(await columns()).toEqual(['id', 'due']);
    });

    it('need no right to make tables once they are made', async () => {
      const schema = newSchema();
      await (await PostgresVersionStore.open({ connection: server.url(), schema })).close();
      await admin.query(`
        CREATE ROLE reader LOGIN PASSWORD 'reads';
        GRANT USAGE ON SCHEMA ${schema} TO reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO reader;`);
      const connection = server.url().replace(/\/\/.*@/, '//reader:reads@');
      const store = await PostgresVersionStore.open({ connection, schema });
      expect(await store.getHead('a')).toBeUndefined();
      const refused = store.setHead('a', bytes('x'), undefined);
      await expect(refused).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'permission denied'));
      await store.close();
    });
  });
});
