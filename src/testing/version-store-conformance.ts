/** The conformance suite of version stores (VersionStore), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import { AdapterVersions } from '../versions/adapter-versions.js';
import { checkStore, collectGarbage } from '../versions/store-check.js';
import { sha256Of, type VersionStore } from '../versions/version-store.js';
import { assertRejects, type ConformanceCase } from './harness.js';
import { SeededRandom } from './random.js';

export interface VersionStoreConformanceOptions {
  /** A new, empty store. */
  open(): Promise<VersionStore>;
  /** For stores that outlive their process: the same store as a process started later, or another one now, finds it. */
  reopen?(store: VersionStore): Promise<VersionStore>;
  /** Called after every case with the stores that were opened; default: nothing. */
  close?(store: VersionStore): Promise<void> | void;
}

const LATER = new Date(Date.UTC(2200, 0));
const EARLIER = new Date(0);
/** Names that lead out of a folder, or that a file system might take for another. */
const BAD_NAMES: unknown[] = [
  ...[
    '',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/..',
    '/a',
    'a/',
    'a//b',
    'a\\b',
    'C:a',
    'a\0b',
    'a\nb',
    'nul',
    'a.',
    '\ud800',
  ],
  ...['x'.repeat(256), 'a/'.repeat(40).concat('a'), 7, null, undefined, ['a']],
];
const NAMES = [
  'a',
  'A',
  'a/b',
  'a/b/c',
  'b',
  '...x',
  'é',
  'e\u0301',
  '日本',
  '😀',
  'constructor',
  '__proto__',
  "o'r%_*",
  '1',
  '01',
];

/** The cases, in no particular order. Each opens stores of its own. */
export function versionStoreConformance(options: VersionStoreConformanceOptions): ConformanceCase[] {
  const { open, reopen = async (store: VersionStore) => store, close } = options;
  const define = (name: string, body: (store: VersionStore) => Promise<void>): ConformanceCase => ({
    name,
    async run() {
      const store = await open();
      try {
        await body(store);
      } finally {
        await close?.(store);
      }
    },
  });
  const withOthers = async (store: VersionStore, count: number, body: (stores: VersionStore[]) => Promise<void>) => {
    const others: VersionStore[] = [];
    try {
      for (let i = 0; i < count; i++) others.push(await reopen(store));
      await body(others);
    } finally {
      for (const other of others) if (other !== store) await close?.(other);
    }
  };
  return [
    define('an empty store has nothing', async (store) => {
      assert.equal(await store.getBlob(sha256Of(bytesOf(3, 1))), undefined);
      assert.equal(await store.getHead('a'), undefined);
      assert.equal(await store.deleteBlob(sha256Of(bytesOf(3, 1)), LATER), false);
      assert.deepEqual(await listed(store), { blobs: [], heads: [] });
    }),
    define('a blob is found under its SHA-256, of any size, however often it is put', async (store) => {
      for (const length of [0, 1, 255, 70_000, 3_000_003]) {
        const bytes = bytesOf(length, length);
        for (let time = 0; time < 2; time++) assert.equal(await store.putBlob(bytes), sha256Of(bytes), 'its name');
        assertBytes(await store.getBlob(sha256Of(bytes)), bytes);
      }
      const { blobs } = await listed(store);
      assert.deepEqual(blobs, [0, 1, 255, 70_000, 3_000_003].map((length) => sha256Of(bytesOf(length, length))).sort());
    }),
    define('bytes belong to the caller before and after', async (store) => {
      const buffer = new Uint8Array(300).fill(7);
      const expected = new Uint8Array(100).fill(7);
      const name = await store.putBlob(buffer.subarray(100, 200));
      await store.setHead('a', buffer.subarray(100, 200), undefined);
      buffer.fill(1);
      for (let time = 0; time < 2; time++) {
        for (const bytes of [await store.getBlob(name), (await store.getHead('a'))?.bytes]) {
          assertBytes(bytes, expected);
          bytes?.fill(2);
        }
      }
    }),
    define('a blob is deleted unless it was put since', async (store) => {
      const [one, other] = [await store.putBlob(bytesOf(10, 1)), await store.putBlob(bytesOf(10, 2))];
      for await (const { sha256, sizeBytes, putAt } of store.listBlobs()) {
        assert.equal(sizeBytes, 10);
        assert.equal(await store.deleteBlob(sha256, putAt), false, 'put at that very moment');
      }
      assert.equal(await store.deleteBlob(one, EARLIER), false, 'put since');
      assert.equal(await store.deleteBlob(one, LATER), true);
      assert.equal(await store.deleteBlob(one, LATER), false, 'already gone');
      assert.equal(await store.getBlob(one), undefined);
      assertBytes(await store.getBlob(other), bytesOf(10, 2));
      assert.equal(await store.putBlob(bytesOf(10, 1)), one);
      assertBytes(await store.getBlob(one), bytesOf(10, 1));
    }),
    define('putting a blob again makes it young', async (store) => {
      const name = await store.putBlob(bytesOf(10, 1));
      const [before] = await blobsOf(store);
      let now = before.putAt;
      // some clocks tick in whole seconds
      for (let tries = 0; now <= before.putAt && tries < 75; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        await store.putBlob(bytesOf(10, 1));
        now = (await blobsOf(store))[0].putAt;
      }
      assert.ok(now > before.putAt, `putAt: got ${now.toISOString()} again`);
      assert.equal(await store.deleteBlob(name, now), false);
    }),
    define('a head is written only over the revision that was read', async (store) => {
      const [first, second, third] = [1, 2, 3].map((seed) => bytesOf(50 + seed, seed));
      assert.equal(await store.setHead('a', first, 'none'), undefined, 'there is none to be replaced');
      const one = (await store.setHead('a', first, undefined)) as string;
      assert.equal(typeof one, 'string');
      assert.equal(await store.setHead('a', second, undefined), undefined, 'there is one already');
      const two = (await store.setHead('a', second, one)) as string;
      assert.equal(await store.setHead('a', third, one), undefined, 'a revision that is gone');
      assertBytes((await store.getHead('a'))?.bytes, second);
      assert.equal((await store.getHead('a'))?.revision, two);
      const again = (await store.setHead('a', first, two)) as string;
      assert.equal(new Set([one, two, again]).size, 3, 'a revision has come back with the bytes');
      assert.equal(await store.setHead('a', third, one), undefined, 'the bytes, but not the revision');
    }),
    define('every head is its own', async (store) => {
      for (const [i, name] of NAMES.entries()) assert.ok(await store.setHead(name, bytesOf(20, i), undefined), name);
      for (const [i, name] of NAMES.entries()) assertBytes((await store.getHead(name))?.bytes, bytesOf(20, i));
      assert.deepEqual((await listed(store)).heads, NAMES.toSorted());
    }),
    define('of many writers at once exactly one wins, every time', async (store) => {
      await withOthers(store, 20, async (stores) => {
        let revision: string | undefined;
        for (let round = 0; round < 5; round++) {
          const writes = stores.map((one, i) => one.setHead('a', bytesOf(1000, 100 * round + i), revision));
          const revisions = await Promise.all(writes);
          const winners = revisions.flatMap((one, i) => (one === undefined ? [] : [i]));
          assert.equal(winners.length, 1, `round ${round}: got the winners ${winners}, expected one`);
          revision = revisions[winners[0]];
          const head = await store.getHead('a');
          assert.equal(head?.revision, revision);
          assertBytes(head?.bytes, bytesOf(1000, 100 * round + winners[0]));
        }
      });
    }),
    define('the same blob put, read and deleted at once is there whole or not at all', async (store) => {
      const bytes = bytesOf(200_000, 4);
      const name = sha256Of(bytes);
      await withOthers(store, 4, async (stores) => {
        for (let round = 0; round < 5; round++) {
          const found = await Promise.all(
            stores.flatMap((one) => [one.putBlob(bytes), one.getBlob(name), one.deleteBlob(name, LATER)]),
          );
          for (const one of found) if (ArrayBuffer.isView(one)) assertBytes(one, bytes);
        }
      });
      assert.equal(await store.putBlob(bytes), name);
      assertBytes(await store.getBlob(name), bytes);
    }),
    define('twenty publishers at once publish twenty versions', async (store) => {
      await withOthers(store, 20, async (stores) => {
        const published = await Promise.all(
          stores.map((one, i) => new AdapterVersions(one, 'a').publish({ files: { 'x.bin': bytesOf(100, i) } })),
        );
        const numbers = published.map(({ version }) => Number(version.slice(3))).sort((a, b) => a - b);
        assert.deepEqual(
          numbers,
          Array.from({ length: 20 }, (_, i) => i),
          'v1.0 to v1.19',
        );
        for (const [i, { version }] of published.entries()) {
          assertBytes((await new AdapterVersions(store, 'a').load(version)).files.get('x.bin'), bytesOf(100, i));
        }
      });
      await expectWhole(store);
    }),
    define('of twenty publishers of one number exactly one succeeds', async (store) => {
      await withOthers(store, 20, async (stores) => {
        const outcomes = await Promise.allSettled(
          stores.map((one, i) =>
            new AdapterVersions(one, 'a').publish({ version: 'v1.7', files: { x: bytesOf(100, i) } }),
          ),
        );
        const refused = outcomes.filter((one) => one.status === 'rejected');
        assert.equal(refused.length, 19, `${20 - refused.length} have published v1.7`);
        for (const { reason } of refused) assert.equal(reason.code, 'ERR_VERSION_CONFLICT', String(reason));
        const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
        assertBytes((await new AdapterVersions(store, 'a').load('v1.7')).files.get('x'), bytesOf(100, winner));
      });
    }),
    define('hundreds of random changes leave a store that is whole', async (store) => {
      await playRandomly(store, new SeededRandom(3));
      await expectWhole(store);
      const before = await checkStore(store);
      const removed = await collectGarbage(store, { olderThanMs: 0, now: () => LATER });
      assert.equal(removed, before.unreferenced, 'removed by collectGarbage');
      const after = await checkStore(store);
      assert.deepEqual(after, {
        ...before,
        ...{ blobs: before.blobs - removed, unreferenced: 0, sizeBytes: after.sizeBytes },
      });
      const sizes = (await blobsOf(store)).map(({ sizeBytes }) => sizeBytes);
      assert.equal(
        after.sizeBytes,
        sizes.reduce((sum, size) => sum + size, 0),
        'sizeBytes',
      );
    }),
    ...(options.reopen
      ? [
          define('what was acknowledged is there when the store is opened anew', async (store) => {
            const states = await playRandomly(store, new SeededRandom(4), 40);
            await withOthers(store, 1, async ([again]) => {
              await expectWhole(again);
              for (const [adapter, state] of states) {
                assert.deepEqual(await new AdapterVersions(again, adapter).state(), state);
              }
            });
          }),
        ]
      : []),
    define('arguments that are wrong are refused, and change nothing', async (store) => {
      const name = await store.putBlob(bytesOf(5, 1));
      for (const bad of ['', 'a', name.toUpperCase(), `${name}0`, `../${name}`, `${name}\n`, undefined, 7, null]) {
        await assertRejects('getBlob', 'ERR_INVALID_ARGUMENT', () => store.getBlob(bad as string));
        await assertRejects('deleteBlob', 'ERR_INVALID_ARGUMENT', () => store.deleteBlob(bad as string, LATER));
      }
      for (const bad of [undefined, null, 0, '2030', new Date(Number.NaN)]) {
        await assertRejects('deleteBlob', 'ERR_INVALID_ARGUMENT', () => store.deleteBlob(name, bad as Date));
      }
      for (const bad of [undefined, null, 'text', [1, 2], new ArrayBuffer(3)] as unknown[]) {
        await assertRejects('putBlob', 'ERR_INVALID_ARGUMENT', () => store.putBlob(bad as Uint8Array));
        await assertRejects('setHead', 'ERR_INVALID_ARGUMENT', () => store.setHead('a', bad as Uint8Array, undefined));
      }
      for (const bad of BAD_NAMES as string[]) {
        await assertRejects(`getHead ${bad}`, 'ERR_PATH_NOT_ALLOWED', () => store.getHead(bad));
        await assertRejects(`setHead ${bad}`, 'ERR_PATH_NOT_ALLOWED', () =>
          store.setHead(bad, bytesOf(3, 1), undefined),
        );
      }
      assert.deepEqual(await listed(store), { blobs: [name], heads: [] });
    }),
  ];
}

async function playRandomly(store: VersionStore, random: SeededRandom, calls = 120) {
  const adapters = ['feed', 'team/search'].map((name) => new AdapterVersions(store, name, { actor: 'somebody' }));
  const reason = 'at random';
  for (const adapter of adapters) await adapter.publish({ files: { x: bytesOf(1, 1) } });
  for (let call = 0; call < calls; call++) {
    const adapter = adapters[random.integer(0, 1)];
    const { versions, aliases } = await adapter.state();
    const version = versions[random.integer(0, versions.length - 1)]?.version ?? 'v1.0';
    const actions = [
      () => adapter.publish({ files: { x: bytesOf(50, random.integer(0, 9)) }, parents: versions[0] ? [version] : [] }),
      () => adapter.approve(version),
      () => adapter.activate(version, { override: random.uniform() < 0.3, reason }),
      () => adapter.rollback({ reason }),
      () => adapter.promote(version),
      () => adapter.setAlias('candidate', random.uniform() < 0.2 ? null : version),
      () => adapter.disable({ reason }),
      () => adapter.enable(version, { override: true, reason }),
      () => adapter.quarantine(version, { reason }),
      () => adapter.release(version, { reason }),
      () => adapter.delete(version),
      () => adapter.retain({ keepLatest: 6 }),
    ];
    await actions[random.integer(0, actions.length - 1)]().catch((error) => {
      // refused by a rule
      assert.match(String(error.code), /^ERR_(VERSION|NO_ROLLBACK|ADAPTER_DISABLED)/, String(error));
    });
    const after = await adapter.state();
    for (const [alias, to] of Object.entries(after.aliases)) {
      const held = after.versions.find((one) => one.version === to);
      assert.ok(held && !held.quarantined, `${alias} points to ${to}, before: ${JSON.stringify(aliases)}`);
    }
  }
  const states = await Promise.all(adapters.map((adapter) => adapter.state()));
  return new Map(states.map((state) => [state.adapter, state]));
}

async function expectWhole(store: VersionStore): Promise<void> {
  assert.deepEqual((await checkStore(store)).problems, []);
}

async function blobsOf(store: VersionStore) {
  const blobs = [];
  for await (const blob of store.listBlobs()) blobs.push(blob);
  return blobs;
}

async function listed(store: VersionStore): Promise<{ blobs: string[]; heads: string[] }> {
  const heads: string[] = [];
  for await (const name of store.listHeads()) heads.push(name);
  return { blobs: (await blobsOf(store)).map(({ sha256 }) => sha256).sort(), heads: heads.sort() };
}

/** Bytes that look random, the same for the same arguments. */
function bytesOf(length: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed + 1);
  return Uint8Array.from({ length }, () => random.integer(0, 255));
}

function assertBytes(got: Uint8Array | undefined, want: Uint8Array): void {
  assert.ok(got, `got nothing, expected ${want.length} bytes`);
  if (Buffer.compare(got, want) !== 0) assert.fail(`got ${got.length} bytes, expected other ${want.length} bytes`);
}
