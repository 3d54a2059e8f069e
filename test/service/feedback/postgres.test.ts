/** Feedback in Postgres against a real server, where one is installed. */
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  lastDays,
  loadConfig,
  openFeedbackStore,
  PostgresFeedbackStore,
  readFeedback,
} from '../../../src/service/index.js';
import { feedbackStoreConformance } from '../../../src/testing/index.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';

const missing = postgresIsMissing();

describe.skipIf(missing)(`PostgresFeedbackStore${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  let admin: Pool;
  let schemas = 0;
  const newSchema = () => `feedback_${schemas++}`;

  beforeAll(async () => {
    server = await PostgresServer.start();
    admin = new Pool({ connectionString: server.url(), max: 2 }).on('error', () => {});
  });
  afterAll(async () => {
    await admin?.end();
    await server?.stop();
  });

  const schemaOf = new WeakMap<object, string>();
  const open = async (schema = newSchema()) => {
    // another time zone must make no difference
    const connection = { connectionString: server.url(), options: '-c TimeZone=America/New_York', max: 3 };
    const store = await PostgresFeedbackStore.open({ connection, schema });
    schemaOf.set(store, schema);
    return store;
  };
  const cases = feedbackStoreConformance({ open: () => open(), reopen: (store) => open(schemaOf.get(store)) });
  it.each(cases)('$name', ({ run }) => run());

  it('has the documented columns, for others to read and write', async () => {
    const store = await open();
    const schema = schemaOf.get(store);
    await store.append([{ id: 'a', type: 'thumbs_up', request: { intent: 'x' }, response: { content: 'hello' } }]);
    await admin.query(`
      INSERT INTO ${schema}.feedback (id, created_at, feedback_type, request_data, response_data, intent, project)
      VALUES ('b', now() + interval '1 microsecond', 'thumbs_down', '{}', '{"content": "no"}', 'y', 'z')`);
    const { rows } = await admin.query(`
      SELECT request_data->>'intent' AS intent, response_data->>'content' AS content, feedback_type
      FROM ${schema}.feedback WHERE created_at >= now() - interval '7 days' ORDER BY id`);
    expect(rows[0]).toEqual({ intent: 'x', content: 'hello', feedback_type: 'thumbs_up' });
    expect(await store.count(lastDays(7, new Date(Date.now() + 60_000)))).toMatchObject({ byIntent: { x: 1, y: 1 } });
    const wrong = `INSERT INTO ${schema}.feedback SELECT 'c', now(), 'maybe', '{}', '{}', NULL, NULL, 'x', 'y'`;
    await expect(admin.query(wrong)).rejects.toThrow('check constraint');
    await store.close();
  });

  it('refuses the rows of one caller and keeps those of the others', async () => {
    const store = await open();
    await admin.query(`ALTER TABLE ${schemaOf.get(store)}.feedback ADD CHECK (id NOT LIKE 'bad%')`);
    const row = (id: string) => ({ id, type: 'thumbs_up' as const, request: {}, response: {} });
    const ids = Array.from({ length: 12 }, (_, i) => (i % 4 === 1 ? `bad-${i}` : `good-${i}`));
    const results = await Promise.allSettled(ids.map((id) => store.append([row(id), row(`${id}-more`)])));
    for (const [i, id] of ids.entries())
      expect(results[i].status).toBe(id.startsWith('bad') ? 'rejected' : 'fulfilled');
    expect((await store.count({})).total).toBe(18);
    await store.close();
  });

  it('asks the index for a window', async () => {
    const store = await open();
    await store.append([{ type: 'thumbs_up', request: {}, response: {} }]);
    const { rows } = await admin
      .query(`
      SET enable_seqscan = off;
      EXPLAIN SELECT id FROM ${schemaOf.get(store)}.feedback WHERE created_at >= '2026-01-01'::timestamptz
      AND (created_at, id::text COLLATE "C") > ('2026-01-02'::timestamptz, 'x')
      ORDER BY created_at, id::text COLLATE "C" LIMIT 10`)
      .then((results) => (results as unknown as { rows: object[] }[])[1]);
    const plan = JSON.stringify(rows);
    expect(plan).toContain('Index');
    expect(plan).not.toContain('Sort');
    await store.close();
  });

  it('is opened as a configuration says', async () => {
    const single = {
      ...{ POSTGRES_HOST: '127.0.0.1', POSTGRES_PORT: String(server.port), POSTGRES_USER: 'lorakeet' },
      ...{ POSTGRES_PASSWORD: server.password, POSTGRES_DB: 'postgres' },
    };
    for (const [i, address] of [single, { DATABASE_URL: server.url() }].entries()) {
      const env = { ...address, LORAKEET_FEEDBACK_KIND: 'postgres', LORAKEET_POSTGRES_SCHEMA: 'configured' };
      const store = await openFeedbackStore((await loadConfig({ env })).config);
      await store.append([{ type: 'thumbs_up', request: {}, response: {} }]);
      expect((await store.count({})).total).toBe(i + 1);
      await store.close();
    }
    await admin.query('CREATE TABLE public.judged (k text, t timestamptz, r int, q text, a text)');
    await admin.query(`INSERT INTO public.judged VALUES ('one', now(), -1, 'Why?', 'So.')`);
    const columns = { ID: 'k', CREATED_AT: 't', RATING: 'r', QUERY: 'q', ANSWER: 'a' };
    const mapped = Object.entries(columns).map(([name, column]) => [`LORAKEET_FEEDBACK_COLUMNS_${name}`, column]);
    const env = { ...single, LORAKEET_FEEDBACK_KIND: 'postgres', LORAKEET_FEEDBACK_TABLE: 'judged' };
    const store = await openFeedbackStore(
      (await loadConfig({ env: { ...env, ...Object.fromEntries(mapped) } })).config,
    );
    expect((await store.page({}, { limit: 5 })).rows).toMatchObject([{ id: 'one', type: 'thumbs_down' }]);
    await store.close();
  });

  describe('a table of another application', () => {
    const columns = {
      ...{ id: 'id', createdAt: 'timestamp', rating: 'rating', query: 'query', answer: 'response', reason: 'reason' },
      ...{ expectedAnswer: 'expected_answer', intent: 'intent', project: 'project' },
    };
    beforeAll(async () => {
      await admin.query(`
        CREATE TABLE public.feedback (
          id serial PRIMARY KEY, query text, response text, rating integer, reason text, category text,
          expected_answer text, timestamp timestamp DEFAULT now(), intent text, project text, metadata jsonb);
        INSERT INTO public.feedback (query, response, rating, reason, expected_answer, timestamp, intent, project) VALUES
          ('Why?', 'Because.', 1, NULL, NULL, '2026-01-05 00:00:00.000001', 'why', 'p'),
          ('How?', 'Well.', -1, 'vague', 'Like this.', '2026-01-05 00:00:00.000002', NULL, NULL),
          ('Who?', 'Me.', 0, NULL, NULL, '2026-01-05 00:01:00', 'why', 'p'),
          (NULL, 'Empty.', 1, NULL, NULL, '2026-01-05 00:02:00', 'why', 'p');`);
    });
    const foreign = { table: 'public.feedback', columns };
    const openForeign = (changes: object = {}) =>
      PostgresFeedbackStore.open({
        connection: { connectionString: server.url(), options: '-c TimeZone=America/New_York' },
        schema: newSchema(),
        foreign: { ...foreign, ...changes },
      });

    it('is read through names of its columns', async () => {
      const store = await openForeign();
      const rows = [];
      for await (const row of readFeedback(store)) rows.push(row);
      expect(rows).toEqual([
        {
          ...{ id: '1', createdAt: new Date('2026-01-05T00:00:00Z'), type: 'thumbs_up', intent: 'why', project: 'p' },
          request: { messages: [{ role: 'user', content: 'Why?' }] },
          response: { choices: [{ message: { role: 'assistant', content: 'Because.' } }] },
        },
        {
          ...{ id: '2', createdAt: new Date('2026-01-05T00:00:00Z'), type: 'thumbs_down' },
          ...{ intent: 'unknown', project: 'unknown', reason: 'vague', expectedAnswer: 'Like this.' },
          request: { messages: [{ role: 'user', content: 'How?' }] },
          response: { choices: [{ message: { role: 'assistant', content: 'Well.' } }] },
        },
        expect.objectContaining({ id: '4', request: {} }),
      ]);
      const first = await store.page({}, { limit: 1 });
      const second = await store.page({}, { limit: 1, after: first.next });
      expect([first, second].map(({ rows: [row] }) => row.id)).toEqual(['1', '2']);
      const window = { since: new Date('2026-01-05T00:01:00Z') };
      expect((await store.page(window, { limit: 9 })).rows.map(({ id }) => id)).toEqual(['4']);
      expect(await store.count({})).toEqual({
        ...{ total: 3, byType: { thumbs_up: 2, thumbs_down: 1 } },
        ...{ byIntent: { why: 2, unknown: 1 }, byProject: { p: 2, unknown: 1 } },
      });
      const append = store.append([{ type: 'thumbs_up', request: {}, response: {} }]);
      await expect(append).rejects.toMatchObject({ code: 'ERR_INVALID_STATE' });
      await store.close();
    });

    it('is counted row by row where it has no columns to group by', async () => {
      const { intent: _, project: __, ...fewer } = columns;
      const store = await openForeign({ columns: fewer });
      expect(await store.count({})).toMatchObject({ total: 3, byIntent: { unknown: 3 } });
      await store.close();
    });

    it.each([
      ['table', { table: 'public.nothing' }],
      ['table', { table: 'a"b' }],
      ['columns.query', { columns: { ...columns, query: 'question' } }],
      ['columns.createdAt', { columns: { ...columns, createdAt: 'query' } }],
      ['columns.createdAt', { columns: { ...columns, createdAt: undefined } }],
      ['columns.type', { columns: { ...columns, type: 'category' } }],
      ['columns.request', { columns: { ...columns, query: undefined } }],
      ['columns.reason', { columns: { ...columns, reason: 'a"b' } }],
      ['columns.more', { columns: { ...columns, more: 'x' } }],
    ])('is refused for a wrong %s: %j', async (name, changes) => {
      await expect(openForeign(changes)).rejects.toMatchObject({
        code: 'ERR_INVALID_CONFIG',
        message: expect.stringContaining(`options.foreign.${name}`),
      });
    });
  });
});
