/** What the Postgres stores do when a server is not there, refuses, is slow, or drops connections. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePool } from '../../src/stores/postgres/driver.js';
import { PostgresAdapterStore, type PostgresPool, PostgresVersionStore } from '../../src/stores/postgres.js';
import { sha256Of } from '../../src/versions/version-store.js';
import { rejection } from '../adapter/formats/helpers.js';
import { coded } from '../personalization/samples.js';
import { PostgresServer, postgresIsMissing } from '../support/postgres.js';

const missing = postgresIsMissing();
const WAITING = "FROM pg_stat_activity WHERE application_name = 'lorakeet' AND wait_event_type = 'Lock'";
const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

describe.skipIf(missing)(`against a PostgreSQL server${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  let admin: Pool;
  let schemas = 0;
  const newSchema = () => `test_${schemas++}`;
  // the server's end is no failure of a test
  const newPool = (max: number) => new Pool({ connectionString: server.url(), max }).on('error', () => {});

  const somebodyWaits = async () => {
    while ((await admin.query(`SELECT ${WAITING}`)).rows.length === 0) await delay(5);
  };

  beforeAll(async () => {
    server = await PostgresServer.start();
    admin = newPool(2);
  });
  afterAll(async () => {
    await admin?.end();
    await server?.stop();
  });

  describe('what cannot be opened is told, and no password with it', () => {
    const SECRET = 'hunter2-hunter2';
    it.each<[string, (url: string) => unknown, string, string]>([
      ['a wrong password', (url) => url, 'ERR_STORE_UNAVAILABLE', 'password authentication failed for user "lorakeet"'],
      ['a wrong database', () => server.url('nothing'), 'ERR_STORE_UNAVAILABLE', 'database "nothing" does not exist'],
      ['nobody there', (url) => url.replace(/:\d+\//, ':1/'), 'ERR_STORE_UNAVAILABLE', 'ECONNREFUSED'],
      [
        'nobody at any address',
        (url) => url.replace(/@.*\//, '@localhost:1/'),
        'ERR_STORE_UNAVAILABLE',
        'ECONNREFUSED',
      ],
      [
        'no such name',
        (url) => url.replace('127.0.0.1', 'no-host.invalid'),
        'ERR_STORE_UNAVAILABLE',
        'no-host.invalid',
      ],
      ['no such socket', () => ({ host: '/no/where', password: SECRET }), 'ERR_STORE_UNAVAILABLE', '/no/where'],
      ['no port', (url) => url.replace(/:\d+\//, ':port/'), 'ERR_INVALID_CONFIG', 'no URL'],
      ['no URL', () => `host=127.0.0.1 password=${SECRET}`, 'ERR_INVALID_CONFIG', 'options.connection'],
      ['no URL in settings', () => ({ connectionString: SECRET }), 'ERR_INVALID_CONFIG', 'options.connection'],
    ])('%s', async (_, connectionOf, code, text) => {
      const url = server.url().replace(/lorakeet:.*@/, `lorakeet:${SECRET}@`);
      const connection = connectionOf(url) as string;
      const error = await PostgresVersionStore.open({ connection, attempts: 1 }).catch((reason) => reason);
      expect(error).toEqual(coded(code as 'ERR_STORE_UNAVAILABLE', text));
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
      expect(inspect(error, { depth: 9 })).not.toContain(server.password);
    });
  });

  it('tells a statement that takes too long', async () => {
    const connection = { connectionString: server.url(), statement_timeout: 200 };
    const schema = newSchema();
    const store = await PostgresVersionStore.open({ connection, schema });
    await store.setHead('a', bytes('one'), undefined);
    const other = await admin.connect();
    await other.query(`BEGIN; LOCK TABLE ${schema}.version_heads`);
    await expect(store.getHead('a')).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'statement timeout'));
    await other.query('ROLLBACK');
    other.release();
    expect((await store.getHead('a'))?.bytes).toEqual(bytes('one'));
    await store.close();
  });

  it('goes on when the server has closed its connections', async () => {
    const schema = newSchema();
    const store = await PostgresVersionStore.open({ connection: server.url(), schema });
    const name = await store.putBlob(bytes('x'));
    for (let time = 0; time < 3; time++) {
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lorakeet'");
      expect(await store.getBlob(name)).toEqual(bytes('x'));
    }
    await store.close();
  });

  it.each(['ended', 'killed'])('writes again when its connection is %s in the midst of writing', async (how) => {
    const schema = newSchema();
    const store = await PostgresVersionStore.open({ connection: server.url(), schema });
    const first = await store.setHead('a', bytes('one'), undefined);
    const other = await admin.connect();
    await other.query(`BEGIN; LOCK TABLE ${schema}.version_heads`);
    other.on('error', () => {});
    const writing = store.setHead('a', bytes('two'), first);
    await somebodyWaits();
    if (how === 'killed') await server.kill('backends');
    else await admin.query(`SELECT pg_terminate_backend(pid) ${WAITING}`);
    other.release(true);
    const revision = await writing;
    expect(await store.getHead('a')).toEqual({ bytes: bytes('two'), revision });
    await store.close();
  });

  it('tries again what the server has undone, as where transactions are serializable by default', async () => {
    const connection = { connectionString: server.url(), options: '-c default_transaction_isolation=serializable' };
    const schema = newSchema();
    const store = await PostgresVersionStore.open({ connection, schema });
    const first = await store.setHead('a', bytes('one'), undefined);
    const other = await admin.connect();
    await other.query(`BEGIN; UPDATE ${schema}.version_heads SET bytes = 'touched'`);
    const writing = store.setHead('a', bytes('two'), first);
    await somebodyWaits();
    await other.query('COMMIT');
    other.release();
    const revision = await writing;
    expect(await store.getHead('a')).toEqual({ bytes: bytes('two'), revision });
    await store.close();
  });

  it('saves the same adapters at once without waiting for one another for ever', async () => {
    const store = await PostgresAdapterStore.open({ connection: server.url(), schema: newSchema(), attempts: 1 });
    const adapters = Array.from({ length: 1500 }, (_, i) => ({ id: `user-${i}`, bytes: bytes(`${i}`) }));
    for (let round = 0; round < 4; round++)
      await Promise.all([store.save(adapters), store.save(adapters.toReversed())]);
    expect(await store.load(['user-1499'])).toEqual([bytes('1499')]);
    await store.close();
  });

  describe('an answer that is lost', () => {
    /** A pool that loses the answers to the next statements that match. */
    class LosingPool implements PostgresPool {
      readonly #pool = newPool(3);
      lose: RegExp | undefined;
      meanwhile = async () => {};
      async connect() {
        const client = await this.#pool.connect();
        const query = async (sql: string, values?: unknown[]) => {
          const answer = await client.query(sql, values);
          if (!this.lose?.test(sql)) return answer;
          this.lose = undefined;
          await this.meanwhile();
          throw new Error('Connection terminated unexpectedly');
        };
        const { on, removeListener, release } = client;
        const listening = { on: on.bind(client), removeListener: removeListener.bind(client) };
        return { query, release: release.bind(client), ...listening };
      }
      end = () => this.#pool.end();
    }
    let pool: LosingPool;
    let store: PostgresVersionStore;

    beforeAll(async () => {
      pool = new LosingPool();
      store = await PostgresVersionStore.open({ connection: pool, schema: newSchema() });
    });
    afterAll(() => pool.end());

    it('of a new head or a next one is not taken for that of another writer', async () => {
      pool.lose = /^INSERT/;
      const first = await store.setHead('a', bytes('one'), undefined);
      expect(await store.getHead('a')).toEqual({ bytes: bytes('one'), revision: first });
      pool.lose = /^UPDATE/;
      const second = await store.setHead('a', bytes('two'), first);
      expect(await store.getHead('a')).toEqual({ bytes: bytes('two'), revision: second });
      expect(pool.lose).toBeUndefined();
    });

    it('of a head that another writer has replaced since is told to be unknown', async () => {
      const first = await store.setHead('b', bytes('one'), undefined);
      pool.lose = /^UPDATE/;
      pool.meanwhile = async () => {
        await store.setHead('b', bytes('three'), (await store.getHead('b'))?.revision);
      };
      const writing = store.setHead('b', bytes('two'), first);
      await expect(writing).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'whether it was is unknown'));
      pool.meanwhile = async () => {};
    });

    it('of a blob does no harm, also of one in chunks', async () => {
      for (const [length, lose] of [
        [10, /WITH blob/],
        [5 * 2 ** 20, /WITH blob/],
        [5 * 2 ** 20 + 1, /COMMIT/],
      ] as const) {
        const blob = new Uint8Array(length).fill(length);
        pool.lose = lose;
        const name = await store.putBlob(blob);
        expect(name).toBe(sha256Of(blob));
        expect(Buffer.compare((await store.getBlob(name)) as Uint8Array, blob)).toBe(0);
      }
    });

    it('of a removal is told, for it cannot be known who removed it', async () => {
      const name = await store.putBlob(bytes('removed'));
      pool.lose = /^DELETE/;
      expect(await rejection(() => store.deleteBlob(name, new Date(Date.now() + 60_000)))).toBe(
        'ERR_STORE_UNAVAILABLE',
      );
      expect(await store.getBlob(name)).toBeUndefined();
    });
  });

  it('takes a pool of the caller, and leaves it open', async () => {
    const pool = newPool(1);
    const schema = newSchema();
    const [versions, adapters] = [
      await PostgresVersionStore.open({ connection: pool, schema }),
      await PostgresAdapterStore.open({ connection: pool, schema }),
    ];
    await Promise.all([versions.setHead('a', bytes('x'), undefined), adapters.save([{ id: 'u', bytes: bytes('y') }])]);
    await versions.close();
    expect(await adapters.load(['u'])).toEqual([bytes('y')]);
    const removed = once(pool, 'remove');
    await pool.end();
    await removed;
    await expect(adapters.load(['u'])).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'after calling end'));
  });

  it('leaves no listeners at the connections of the pool', async () => {
    const pool = newPool(1);
    const store = await PostgresVersionStore.open({ connection: pool, schema: newSchema() });
    for (let i = 0; i < 3; i++) await store.getHead('a');
    const client = await pool.connect();
    expect(client.listenerCount('error')).toBe(0);
    client.release();
    await pool.end();
  });
});

it('says which package is missing', async () => {
  const load = () => Promise.reject(new Error("Cannot find package 'pg'"));
  await expect(makePool({}, load)).rejects.toThrow(coded('ERR_STORE_UNAVAILABLE', 'npm install pg'));
});

it.each([
  { connection: 7 },
  { connection: null },
  { schema: 'Capital' },
  { schema: 'a"b' },
  { schema: '' },
  { schema: 'x'.repeat(64) },
  { attempts: 0 },
  { attempts: 1.5 },
  { url: 'postgres://' },
])('refuses the options %o', async (options) => {
  expect(await rejection(() => PostgresVersionStore.open(options as never))).toBe('ERR_INVALID_CONFIG');
  expect(await rejection(() => PostgresAdapterStore.open(options as never))).toBe('ERR_INVALID_CONFIG');
});
