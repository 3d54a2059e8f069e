/** The conformance suite of feedback stores (FeedbackStore), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import type { Feedback, FeedbackInput } from '../service/feedback/feedback.js';
import type { FeedbackStore, FeedbackWindow } from '../service/feedback/feedback-store.js';
import { assertRejects, type ConformanceCase } from './harness.js';

export interface FeedbackStoreConformanceOptions {
  /** A new, empty store. */
  open(): Promise<FeedbackStore>;
  /** For stores that outlive their process: the same store as a process started later finds it. */
  reopen?(store: FeedbackStore): Promise<FeedbackStore>;
}

const BEGIN = Date.UTC(2026, 0, 5);
const MINUTE_MS = 60_000;
const at = (minute: number) => new Date(BEGIN + minute * MINUTE_MS);

/** Ordered by their UTF-8 bytes, which is neither the order of UTF-16 nor that of a dictionary. */
const ORDERED_IDS = ['1', '10', '2', 'A', 'a', 'a b', 'a%', 'a_', 'b', 'constructor', 'é', 'ﬁ', '\uffee', '😀'];

function feedback(id: string, minute: number, changes: Partial<FeedbackInput> = {}): Feedback {
  return {
    ...{ id, createdAt: at(minute), type: 'thumbs_up' as const, intent: 'unknown', project: 'unknown' },
    request: { messages: [{ role: 'user', content: `question ${id}` }] },
    response: { choices: [{ message: { role: 'assistant', content: `answer ${id}` } }] },
    ...changes,
  };
}

async function all(store: FeedbackStore, window: FeedbackWindow = {}, limit = 500): Promise<Feedback[]> {
  const rows: Feedback[] = [];
  let after: string | undefined;
  do {
    const page = await store.page(window, { limit, after });
    assert.ok(page.rows.length <= limit, `a page has ${page.rows.length} rows, expected at most ${limit}`);
    assert.ok(page.next === undefined || page.rows.length === limit, 'a page that is not the last is full');
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

const idsOf = (rows: readonly Feedback[]) => rows.map(({ id }) => id);

/** The cases, in no particular order. Each opens a store of its own. */
export function feedbackStoreConformance(options: FeedbackStoreConformanceOptions): ConformanceCase[] {
  const define = (name: string, body: (store: FeedbackStore) => Promise<void>): ConformanceCase => ({
    name,
    async run() {
      const store = await options.open();
      try {
        await body(store);
      } finally {
        await store.close();
      }
    },
  });
  const cases = [
    define('an empty store has nothing', async (store) => {
      assert.deepEqual(await store.page({}, { limit: 1 }), { rows: [], next: undefined });
      assert.deepEqual(await store.count({}), { total: 0, byType: {}, byIntent: {}, byProject: {} });
      assert.deepEqual(await store.append([]), { ids: [], added: 0 });
    }),
    define('what is appended is read, whatever it is made of', async (store) => {
      const request = {
        messages: [
          { role: 'system', content: '' },
          { content: 'Größe? 日本 😀 "quoted" \\ \n\t \u0001 \u2028' },
          { x: null },
        ],
        ...{
          'x-routing-metadata': '{}',
          constructor: 1,
          '': [],
          numbers: [0, -1.5, 1e21, 5e-7, 0.1, 2 ** 53],
          deep: [[[{}]]],
        },
      };
      const rows = [
        feedback('full', 0, { request, expectedAnswer: 'So:\n  "β"', reason: '', intent: 'search', project: 'p 1' }),
        feedback('bare', 1, { type: 'thumbs_down', request: {}, response: {} }),
        feedback('long', 2, { response: { text: 'x'.repeat(300_000) }, expectedAnswer: 'ü'.repeat(50_000) }),
      ];
      assert.deepEqual(await store.append(rows), { ids: ['full', 'bare', 'long'], added: 3 });
      assert.deepEqual(await all(store), rows);
    }),
    define('what is left out is filled in', async (store) => {
      const before = Date.now();
      const response = { 'x-routing-metadata': JSON.stringify({ intent: 'routed' }), project: 'from the response' };
      const { ids } = await store.append([
        { type: 'thumbs_up', request: { intent: 'asked', metadata: { intent: 'no', project: 'meta' } }, response },
        { type: 'thumbs_up', request: { intent: 7 }, response },
        { type: 'thumbs_up', request: {}, response: { 'x-routing-metadata': 'none' } },
      ]);
      const rows = await all(store);
      assert.equal(new Set(ids).size, 3);
      assert.deepEqual(idsOf(rows).sort(), [...ids].sort());
      for (const { createdAt } of rows) assert.ok(createdAt.getTime() >= before && createdAt.getTime() <= Date.now());
      const groups = ids.map((id) => rows.find((row) => row.id === id)).map((row) => [row?.intent, row?.project]);
      assert.deepEqual(groups, [
        ['asked', 'meta'],
        ['routed', 'from the response'],
        ['unknown', 'unknown'],
      ]);
    }),
    define('of rows with one id the first stays', async (store) => {
      const [first, second] = [feedback('a', 0), feedback('a', 5, { type: 'thumbs_down' })];
      assert.equal((await store.append([first, second, feedback('b', 1)])).added, 2);
      assert.equal((await store.append([second])).added, 0);
      assert.equal((await store.append([feedback('c', 2), second, first])).added, 1);
      assert.deepEqual(await all(store), [first, feedback('b', 1), feedback('c', 2)]);
      assert.equal((await store.count({})).total, 3);
    }),
    define('the same rows from many callers at once are there once', async (store) => {
      const rows = Array.from({ length: 20 }, (_, i) => feedback(`row-${i}`, i));
      const results = await Promise.all(rows.map((_, i) => store.append(i % 2 === 0 ? rows : rows.toReversed())));
      assert.equal(
        results.reduce((sum, { added }) => sum + added, 0),
        rows.length,
      );
      assert.deepEqual(await all(store), rows);
    }),
    define('calls at once all have their own answer', async (store) => {
      const calls = Array.from({ length: 300 }, (_, i) =>
        Array.from({ length: i % 4 }, (_, j) => feedback(`call-${i}-${j}`, i)),
      );
      const results = await Promise.all(calls.map((rows) => store.append(rows)));
      for (const [i, rows] of calls.entries()) assert.deepEqual(results[i], { ids: idsOf(rows), added: rows.length });
      assert.equal((await store.count({})).total, calls.flat().length);
    }),
    define('what is acknowledged is read at once', async (store) => {
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          await store.append([feedback(`row-${i}`, i)]);
          assert.deepEqual(idsOf(await all(store, { since: at(i), until: at(i + 1) })), [`row-${i}`]);
        }),
      );
    }),
    define('rows come by time, then by id, a page at a time', async (store) => {
      const rows = [5, 1, 3].flatMap((minute) =>
        ORDERED_IDS.map((id) => feedback(minute === 1 ? id : `${minute}/${id}`, minute)),
      );
      await store.append(rows.toReversed());
      const byTime = [...rows.slice(ORDERED_IDS.length), ...rows.slice(0, ORDERED_IDS.length)];
      const expected = idsOf(byTime.toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime()));
      for (const limit of [1, 2, 7, ORDERED_IDS.length, rows.length - 1, rows.length, rows.length + 1, 10_000]) {
        assert.deepEqual(idsOf(await all(store, {}, limit)), expected, `pages of ${limit}`);
      }
    }),
    define('a window has its beginning and not its end', async (store) => {
      await store.append([0, 1, 2, 3].map((minute) => feedback(`m${minute}`, minute)));
      const expectIds = async (window: FeedbackWindow, ids: string[]) => {
        assert.deepEqual(idsOf(await all(store, window, 1)), ids);
        assert.equal((await store.count(window)).total, ids.length);
      };
      await expectIds({ since: at(1), until: at(3) }, ['m1', 'm2']);
      await expectIds({ since: new Date(at(1).getTime() + 1) }, ['m2', 'm3']);
      await expectIds({ until: new Date(at(1).getTime() + 1) }, ['m0', 'm1']);
      await expectIds({ since: at(3), until: at(1) }, []);
      await expectIds({ since: new Date(-8.64e15), until: new Date(8.64e15) }, ['m0', 'm1', 'm2', 'm3']);
    }),
    define('reading goes on where it was, whatever is appended meanwhile', async (store) => {
      await store.append([2, 4, 6, 8].map((minute) => feedback(`m${minute}`, minute)));
      const first = await store.page({}, { limit: 2 });
      await store.append([1, 4, 5, 9].map((minute) => feedback(`new${minute}`, minute)));
      const rest = await store.page({}, { limit: 100, after: first.next });
      assert.deepEqual(idsOf([...first.rows, ...rest.rows]), ['m2', 'm4', 'new4', 'new5', 'm6', 'm8', 'new9']);
    }),
    define('counts by type, intent and project', async (store) => {
      const names = ['chat', '__proto__', 'constructor', 'chat '];
      const rows = Array.from({ length: 30 }, (_, i) =>
        feedback(`row-${i}`, i, {
          ...{ type: i % 3 ? ('thumbs_up' as const) : ('thumbs_down' as const) },
          ...{ intent: names[i % 4], project: names[i % 2] },
        }),
      );
      await store.append(rows);
      const counts = (key: 'type' | 'intent' | 'project') => {
        const found = new Map<string, number>();
        for (const row of rows.slice(0, 20)) found.set(row[key], (found.get(row[key]) ?? 0) + 1);
        return [...found].sort();
      };
      const { total, byType, byIntent, byProject } = await store.count({ until: at(20) });
      assert.equal(total, 20);
      const found = [byType, byIntent, byProject].map((one) => Object.entries(one).sort());
      assert.deepEqual(found, [counts('type'), counts('intent'), counts('project')]);
    }),
    define('thousands fit into one call', async (store) => {
      const rows = Array.from({ length: 2300 }, (_, i) => feedback(`row-${String(i).padStart(4, '0')}`, i % 7));
      assert.equal((await store.append(rows)).added, rows.length);
      assert.equal((await store.append(rows)).added, 0);
      assert.deepEqual(new Set(idsOf(await all(store))), new Set(idsOf(rows)));
    }),
    define('rows belong to the caller before and after', async (store) => {
      const request = { messages: [{ role: 'user', content: 'before' }] };
      const row = feedback('a', 0, { request });
      const appending = store.append([row]);
      request.messages[0].content = 'after';
      row.createdAt.setTime(0);
      await appending;
      const [found] = await all(store);
      assert.deepEqual(found, feedback('a', 0, { request: { messages: [{ role: 'user', content: 'before' }] } }));
    }),
    define('wrong arguments are refused, and nothing of the call is kept', async (store) => {
      const good = feedback('good', 0);
      let deep: object = {};
      for (let i = 0; i < 40; i++) deep = { deep };
      const wrong: [string, unknown][] = [
        ...[null, 7, 'text', []].map((value): [string, unknown] => ['no feedback', value]),
        ...['', ' ', 'x'.repeat(201), 'a\0', '\ud800', 7].map((id): [string, unknown] => ['id', { ...good, id }]),
        ...['up', undefined, 1].map((type): [string, unknown] => ['type', { ...good, type }]),
        ...[new Date(NaN), new Date(-1), 0, '2026'].map((createdAt): [string, unknown] => [
          'time',
          { ...good, createdAt },
        ]),
        ...[
          null,
          [],
          'text',
          undefined,
          new Date(),
          { a: undefined },
          { a: NaN },
          { a: 'b\0' },
          { 'c\0': 1 },
          { a: '\udc00' },
        ]
          .concat([{ a: () => {} }, { a: new Map() }, deep] as never[])
          .map((request): [string, unknown] => ['request', { ...good, request }]),
        ['response', { ...good, response: null }],
        ['expectedAnswer', { ...good, expectedAnswer: 7 }],
        ['reason', { ...good, reason: 'a\0' }],
        ['intent', { ...good, intent: '' }],
        ['size', { ...good, response: { text: 'x'.repeat(2 ** 20) } }],
        ['unknown key', { ...good, expected_answer: 'x' }],
      ];
      for (const [name, value] of wrong) {
        const append = () => store.append([good, value as FeedbackInput]);
        await assertRejects(`append with a wrong ${name}`, 'ERR_INVALID_ARGUMENT', append);
      }
      await assertRejects('append of no array', 'ERR_INVALID_ARGUMENT', () => store.append(good as never));
      assert.equal((await store.count({})).total, 0);
      for (const limit of [0, 10_001, 1.5, undefined]) {
        const page = () => store.page({}, { limit: limit as number });
        await assertRejects(`page of ${limit}`, 'ERR_INVALID_ARGUMENT', page);
      }
      for (const after of ['', 'x', '1', 7]) {
        const page = () => store.page({}, { limit: 1, after: after as string });
        await assertRejects(`page after ${after}`, 'ERR_INVALID_ARGUMENT', page);
      }
      const window = { since: new Date(NaN) };
      await assertRejects('page of a wrong window', 'ERR_INVALID_ARGUMENT', () => store.page(window, { limit: 1 }));
      await assertRejects('count of a wrong window', 'ERR_INVALID_ARGUMENT', () => store.count({ until: 5 as never }));
    }),
    define('what has been closed says so, and keeps what it has taken', async (store) => {
      const appending = store.append([feedback('a', 0)]);
      await Promise.all([store.close(), store.close()]);
      assert.equal((await appending).added, 1);
      await assertRejects('append after close', 'ERR_CLOSED', () => store.append([feedback('b', 0)]));
      await assertRejects('page after close', 'ERR_CLOSED', () => store.page({}, { limit: 1 }));
      await assertRejects('count after close', 'ERR_CLOSED', () => store.count({}));
    }),
  ];
  const { reopen } = options;
  if (reopen) {
    cases.push(
      define('what is acknowledged is there when it is opened anew', async (store) => {
        const rows = [feedback('a', 0), feedback('b', 1, { expectedAnswer: 'better' })];
        await store.append(rows);
        const again = await reopen(store);
        try {
          assert.deepEqual(await all(again), rows);
          assert.equal((await again.append([rows[1], feedback('c', 2)])).added, 1);
          assert.equal((await store.count({})).total, 3);
        } finally {
          await again.close();
        }
      }),
    );
  }
  return cases;
}
