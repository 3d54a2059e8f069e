/** The conformance suite of adapter stores (AdapterStore), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import type { AdapterStore, StoredAdapter } from '../versions/adapter-store.js';
import { assertRejects, type ConformanceCase } from './harness.js';
import { SeededRandom } from './random.js';

export interface StoreConformanceOptions<Store extends AdapterStore = AdapterStore> {
  /** A new, empty store. */
  open(): Promise<Store>;
  /** For stores that outlive their process: the same store as a process started later finds it. */
  reopen?(store: Store): Promise<Store>;
  /** Called after every case with the stores that were opened; default: nothing. */
  close?(store: Store): Promise<void> | void;
}

/** Ids that are easily taken for one another, for paths, for patterns, or for numbers. */
const AWKWARD_IDS = [
  ...['user', 'User', 'USER', 'user ', ' user', 'user\n', 'user\0', 'user\0b', 'us%r', 'us_r', 'us*r', "us'r", 'us"r'],
  ...['a/b', 'a\\b', 'a:b', '..', '../user', '/', '.', 'a//b', 'nul', '1', '01', '1.0', '1e3', '1000', 'null', 'true'],
  ...['é', 'e\u0301', 'ß', 'ss', 'ﬁ', 'fi', 'ı', 'i', 'I', '日本', '😀', '\ufeffuser', 'constructor', '__proto__'],
  ...['x'.repeat(500), `${'x'.repeat(499)}y`],
];

/** The cases, in no particular order. Each opens stores of its own. */
export function adapterStoreConformance<Store extends AdapterStore>(
  options: StoreConformanceOptions<Store>,
): ConformanceCase[] {
  const define = (name: string, body: (store: Store) => Promise<void>) => storeCase(options, name, body);
  return [
    define('an empty store has nothing', async (store) => {
      await expectStored(store, [], []);
      await expectStored(store, ['a', 'b'], [undefined, undefined]);
      await store.save([]);
      await store.delete([]);
      await store.delete(['a']);
    }),
    define('what is saved is loaded, of any size, in the order asked for', async (store) => {
      const records = [1, 2, 255, 4096, 70_000, 1_000_003].map((length, i) => record(`id-${i}`, length, i));
      await store.save(records.slice(0, 3));
      await store.save(records.slice(3));
      const ids = ['id-5', 'nobody', 'id-0', 'id-3', 'id-0', 'id-1', 'id-4', 'id-2'];
      const bytes = ids.map((id) => records.find((candidate) => candidate.id === id)?.bytes);
      await expectStored(store, ids, bytes);
    }),
    define('saving again replaces, whole', async (store) => {
      const [long, short, other] = [record('a', 5000, 1), record('a', 10, 2), record('b', 100, 3)];
      for (const bytes of [long, short, long]) {
        await store.save([bytes, other]);
        await expectStored(store, ['a', 'b'], [bytes.bytes, other.bytes]);
      }
    }),
    define('delete removes what it names and nothing else', async (store) => {
      const records = ['a', 'b', 'c', 'd'].map((id, i) => record(id, 50, i));
      await store.save(records);
      await store.delete(['b', 'nobody', 'd', 'b']);
      await expectStored(store, ['a', 'b', 'c', 'd'], [records[0].bytes, undefined, records[2].bytes, undefined]);
      await store.save([record('b', 60, 9)]);
      await expectStored(store, ['b'], [record('b', 60, 9).bytes]);
    }),
    define('every id is its own, whatever it is made of', async (store) => {
      const records = AWKWARD_IDS.map((id, i) => record(id, 20 + i, i));
      await store.save(records);
      await expectStored(
        store,
        AWKWARD_IDS,
        records.map(({ bytes }) => bytes),
      );
      for (let i = 0; i < records.length; i += 2) await store.delete([AWKWARD_IDS[i]]);
      await expectStored(
        store,
        AWKWARD_IDS,
        records.map(({ bytes }, i) => (i % 2 === 0 ? undefined : bytes)),
      );
    }),
    define('bytes belong to the caller before and after', async (store) => {
      const buffer = new Uint8Array(300).fill(7);
      const view = buffer.subarray(100, 200);
      const bytes = Buffer.from('a buffer of node');
      await store.save([
        { id: 'view', bytes: view },
        { id: 'buffer', bytes },
      ]);
      const expected = [new Uint8Array(100).fill(7), new Uint8Array(Buffer.from('a buffer of node'))];
      buffer.fill(1);
      bytes.fill(1);
      await expectStored(store, ['view', 'buffer'], expected);
      for (const loaded of await store.load(['view', 'buffer', 'view'])) loaded?.fill(2);
      await expectStored(store, ['view', 'buffer'], expected);
    }),
    // 999 and 1000 are where databases and S3 have limits; each record more is a request more for some stores
    define('more than a thousand fit into one call', async (store) => {
      const records = Array.from({ length: 1100 }, (_, i) => record(`user-${i}`, 40, i));
      const ids = records.map(({ id }) => id);
      await store.save(records);
      await expectStored(
        store,
        ids.toReversed(),
        records.toReversed().map(({ bytes }) => bytes),
      );
      await store.delete(ids.slice(1));
      await expectStored(
        store,
        ids,
        records.map(({ bytes }, i) => (i === 0 ? bytes : undefined)),
      );
    }),
    define('calls at once do not disturb each other, and nobody sees half a record', async (store) => {
      const versions = Array.from({ length: 8 }, (_, i) => record('shared', 200_000 + i, i));
      await store.save([versions[0]]);
      const saves = versions.map((version, i) => store.save([version, record(`own-${i}`, 1000, i)]));
      const loads = versions.map(() => store.load(['shared']));
      await Promise.all(saves);
      const seen = [...(await Promise.all(loads)), await store.load(['shared'])];
      for (const [bytes] of seen) {
        assert.ok(bytes, 'shared: got nothing, expected one of the versions');
        assertBytes('shared', bytes, versions[bytes.length - 200_000]?.bytes);
      }
      await expectStored(
        store,
        versions.map((_, i) => `own-${i}`),
        versions.map((_, i) => record('', 1000, i).bytes),
      );
    }),
    define('arguments that are wrong are refused, and change nothing', async (store) => {
      const good = record('good', 30, 1);
      await store.save([good]);
      const bytes = new Uint8Array(3);
      const badIds: unknown[] = [undefined, 'good', [''], [1], ['good', '\ud800'], [null], [['good']]];
      for (const ids of badIds) {
        await assertRejects('load', 'ERR_INVALID_ARGUMENT', () => store.load(ids as string[]));
        await assertRejects('delete', 'ERR_INVALID_ARGUMENT', () => store.delete(ids as string[]));
      }
      const badRecords: unknown[] = [
        ...[undefined, good, [undefined], [{ id: 'good' }], [{ bytes }], [{ id: '', bytes }]],
        ...[[{ id: 'a\udfff', bytes }], [{ id: 'good', bytes: [1] }], [{ id: 'good', bytes: bytes.buffer }]],
      ];
      for (const adapters of badRecords) {
        await assertRejects('save', 'ERR_INVALID_ARGUMENT', () => store.save(adapters as StoredAdapter[]));
      }
      const mixed = [record('new', 5, 1), record('good', 5, 1), record('new', 6, 2)];
      await assertRejects('save, an id twice', 'ERR_INVALID_ARGUMENT', () => store.save(mixed));
      await expectStored(store, ['good', 'new'], [good.bytes, undefined]);
    }),
    define('hundreds of random calls leave what they leave in a map', async (store) => {
      await playRandomly(store, new SeededRandom(5));
    }),
    ...(options.reopen
      ? [
          define('what was acknowledged is there when the store is opened anew', async (store) => {
            const { reopen } = options;
            const kept = await playRandomly(store, new SeededRandom(6), 100);
            const again = await (reopen as NonNullable<typeof reopen>)(store);
            try {
              await expectStored(again, [...kept.keys()], [...kept.values()]);
            } finally {
              await options.close?.(again);
            }
          }),
        ]
      : []),
  ];
}

/** A case on a store of its own. */
export function storeCase<Store extends AdapterStore>(
  options: StoreConformanceOptions<Store>,
  name: string,
  body: (store: Store) => Promise<void>,
): ConformanceCase {
  return {
    name,
    async run() {
      const store = await options.open();
      try {
        await body(store);
      } finally {
        await options.close?.(store);
      }
    },
  };
}

/** Bytes that look random, the same for the same arguments. */
export function record(id: string, length: number, seed: number): StoredAdapter {
  const bytes = new Uint8Array(length);
  let state = (seed + 1) * 2654435761;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return { id, bytes };
}

export async function playRandomly(store: AdapterStore, random: SeededRandom, calls = 400) {
  const model = new Map<string, Uint8Array>();
  const someIds = () => Array.from(random.distinct(random.integer(1, 5), 30), (i) => `user-${i}`);
  for (let call = 0; call < calls; call++) {
    const ids = someIds();
    const kind = random.uniform();
    if (kind < 0.5) {
      const records = ids.map((id, i) => record(id, random.integer(1, 300), call * 10 + i));
      await store.save(records);
      for (const { id, bytes } of records) model.set(id, bytes);
    } else if (kind < 0.65) {
      await store.delete(ids);
      for (const id of ids) model.delete(id);
    } else {
      await expectStored(
        store,
        ids,
        ids.map((id) => model.get(id)),
      );
    }
  }
  return model;
}

async function expectStored(
  store: AdapterStore,
  ids: readonly string[],
  expected: readonly (Uint8Array | undefined)[],
) {
  const found = await store.load(ids);
  assert.equal(found.length, ids.length, `load: got ${found.length} results for ${ids.length} ids`);
  ids.forEach((id, i) => {
    assertBytes(JSON.stringify(id), found[i], expected[i]);
  });
}

export function assertBytes(what: string, got: Uint8Array | undefined, want: Uint8Array | undefined): void {
  const show = (bytes: Uint8Array | undefined) => (bytes ? `${bytes.length} bytes` : `${bytes}`);
  if (want === undefined || got === undefined) {
    if (got !== want) assert.fail(`${what}: got ${show(got)}, expected ${show(want)}`);
  } else if (Buffer.compare(got, want) !== 0) {
    assert.fail(`${what}: got ${show(got)}, expected other ${show(want)}`);
  }
}
