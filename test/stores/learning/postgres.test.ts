/** Metadata in Postgres against a real server, where one is installed. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileSystemBlobStorage } from '../../../src/learning/index.js';
import { failure, success } from '../../../src/learning/result.js';
import { PostgresAdapterStorage } from '../../../src/stores/learning/postgres.js';
import { adapterStorageConformance } from '../../../src/testing/index.js';
import { idOf, metadataOf } from '../../../src/testing/learning-samples.js';
import { rejection } from '../../adapter/formats/helpers.js';
import { liveThroughAll } from '../../learning/engine-on-storages.js';
import { covered, isRequired, skipped } from '../../support/coverage-report.js';
import { startLosingProxy } from '../../support/losing-proxy.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';

const missing = postgresIsMissing();

if (missing) {
  skipped('server', 'postgres', missing);
  it.skipIf(!isRequired('postgres'))('LORAKEET_REQUIRE lists postgres', () => expect.fail(missing));
}

describe.skipIf(missing)(`PostgresAdapterStorage${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  let admin: Pool;
  let schemas = 0;
  const newSchema = () => `test_${schemas++}`;
  const schemaOf = new WeakMap<object, string>();
  const open = async (schema = newSchema()) => {
    const storage = await PostgresAdapterStorage.open({ connection: server.url(), schema });
    schemaOf.set(storage, schema);
    return storage;
  };

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

  const cases = adapterStorageConformance({
    open: () => open(),
    reopen: (storage) => open(schemaOf.get(storage)),
    damage: async (storage, id, text) => {
      const sql = `UPDATE ${schemaOf.get(storage)}.adapter_metadata SET metadata = convert_to($1, 'UTF8') WHERE id = $2`;
      await admin.query(sql, [text, id]);
    },
    unreachable: async () => {
      const connection = new Pool({ connectionString: server.url() });
      const storage = await PostgresAdapterStorage.open({ connection, schema: newSchema() });
      await connection.end();
      return storage;
    },
    close: (storage) => (storage as PostgresAdapterStorage).close(),
  });
  it.each(cases)('$name', ({ run }) => run());

  it('refuses what it cannot open', async () => {
    expect(await rejection(() => PostgresAdapterStorage.open({ schema: 'A"B' }))).toBe('ERR_INVALID_CONFIG');
    expect(await rejection(() => PostgresAdapterStorage.open({ prefix: '' } as never))).toBe('ERR_INVALID_CONFIG');
    const connection = { host: '127.0.0.1', port: 1 };
    expect(await rejection(() => PostgresAdapterStorage.open({ connection, attempts: 1 }))).toBe(
      'ERR_STORE_UNAVAILABLE',
    );
  });

  it('knows its own update when the answer was lost, and says so where it cannot know', async () => {
    const proxy = await startLosingProxy(server.port, /UPDATE|INSERT INTO "test_\d+".adapter/);
    const schema = newSchema();
    const direct = await open(schema);
    const connection = server.url().replace(`:${server.port}/`, `:${proxy.port}/`);
    const storage = await PostgresAdapterStorage.open({ connection, schema });
    expect(await storage.storeMetadata(metadataOf(1))).toEqual(success(undefined));
    expect(proxy.lost()).toBe(1);
    proxy.loseNext();
    const second = metadataOf(1, { version: 2 });
    expect(await storage.updateMetadata(second)).toEqual(success(undefined));
    expect(proxy.lost()).toBe(2);
    proxy.loseNext();
    expect(await storage.updateMetadata(second)).toEqual(failure(`Outcome unknown: ${LOST}`));
    const third = metadataOf(1, { version: 3, taskName: 'three' });
    proxy.loseNext(async () => void (await direct.updateMetadata(metadataOf(1, { version: 4 }))));
    expect(await storage.updateMetadata(third)).toEqual(failure(`Outcome unknown: ${LOST}`));
    expect(proxy.lost()).toBe(4);
    expect((await direct.getMetadata(idOf(1))).value.version).toBe(4);
    const once = await PostgresAdapterStorage.open({ connection, schema, attempts: 1 });
    proxy.loseNext();
    expect((await once.updateMetadata(metadataOf(1, { version: 5 }))).error).toMatch(/^Outcome unknown: Postgres: /);
    expect((await direct.getMetadata(idOf(1))).value.version).toBe(5);
    await admin.query(`ALTER TABLE ${schema}.adapter_metadata ADD CHECK (version < 6)`);
    expect((await once.updateMetadata(metadataOf(1, { version: 6 }))).error).toMatch(/^Postgres: .*violates check/);
    for (const one of [storage, direct, once]) await one.close();
    proxy.close();
  });

  it('answers an abort while a read waits, and waits for what it writes', async () => {
    const storage = await open();
    await storage.storeMetadata(metadataOf(1));
    const controller = new AbortController();
    const { signal } = controller;
    const blocker = await admin.connect();
    let write: ReturnType<typeof storage.updateMetadata>;
    try {
      await blocker.query(`BEGIN; LOCK TABLE ${schemaOf.get(storage)}.adapter_metadata IN ACCESS EXCLUSIVE MODE`);
      const reads = [storage.getMetadata(idOf(1), { signal }), storage.listAdapters({ signal })];
      write = storage.updateMetadata(metadataOf(1, { version: 2 }), { signal });
      const waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'lorakeet' AND wait_event_type = 'Lock'";
      while ((await admin.query(waiting)).rows.length < 3) await delay(5);
      controller.abort();
      for (const read of reads) expect(await Promise.race([read, delay(5000)])).toEqual(failure('Operation cancelled'));
    } finally {
      // ends the transaction too
      blocker.release(true);
    }
    expect(await write).toEqual(success(undefined));
    expect((await storage.getMetadata(idOf(1))).value.version).toBe(2);
    await storage.close();
  });

  it('lets the engine live, with weights in a folder', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lorakeet-blobs-'));
    const storage = await open();
    await liveThroughAll(storage, new FileSystemBlobStorage(folder));
    expect(readdirSync(folder)).toEqual([]);
    await storage.close();
    rmSync(folder, { recursive: true });
  });
});

const LOST = 'Postgres: the connection was lost, and another write came next';
