/** The conformance suite of stores that can tell all they have (AdapterCollection): that of all stores, and more. */
import assert from 'node:assert/strict';
import type { AdapterCollection } from '../versions/adapter-store.js';
import type { ConformanceCase } from './harness.js';
import { SeededRandom } from './random.js';
import {
  adapterStoreConformance,
  assertBytes,
  playRandomly,
  record,
  type StoreConformanceOptions,
  storeCase,
} from './store-conformance.js';

/** The cases, in no particular order. Each opens stores of its own. */
export function adapterCollectionConformance<Store extends AdapterCollection>(
  options: StoreConformanceOptions<Store>,
): ConformanceCase[] {
  const define = (name: string, body: (store: Store) => Promise<void>) => storeCase(options, name, body);
  return [
    ...adapterStoreConformance(options),
    define('an empty store tells of nothing', async (store) => {
      await expectEntries(store, new Map());
    }),
    define('tells all that it has, and nothing else', async (store) => {
      const kept = await playRandomly(store, new SeededRandom(7));
      const many = Array.from({ length: 1000 }, (_, i) => record(`many-${i}`, i % 7 === 0 ? 3000 : i, i));
      await store.save(many);
      await store.save([record('longest', 3_000_001, 1), record('empty', 0, 1), record('none\0', 1, 1)]);
      await store.delete(many.filter((_, i) => i % 3 === 0).map(({ id }) => id));
      const left = many.filter((_, i) => i % 3 !== 0).concat(record('longest', 3_000_001, 1), record('empty', 0, 1));
      for (const { id, bytes } of [...left, record('none\0', 1, 1)]) kept.set(id, bytes);
      await expectEntries(store, kept);
    }),
    define('what it tells belongs to the caller', async (store) => {
      const records = Array.from({ length: 50 }, (_, i) => record(`user-${i}`, 100, i));
      await store.save(records);
      for await (const portion of store.entries()) for (const { bytes } of portion) bytes.fill(1);
      await expectEntries(store, new Map(records.map(({ id, bytes }) => [id, bytes])));
    }),
    define('changes meanwhile keep nobody else from being told of', async (store) => {
      const old = Array.from({ length: 300 }, (_, i) => record(`user-${i}`, 20_000, i));
      await store.save(old);
      const seen = new Map<string, Uint8Array>();
      let turn = 0;
      for await (const portion of store.entries()) {
        for (const { id, bytes } of portion) seen.set(id, bytes);
        if (turn < 60) {
          await store.save([record(`user-${turn}`, 20_001, turn), record(`user-${299 - turn}`, 20_001, turn)]);
          await store.delete([`user-${100 + turn}`]);
          turn += 1;
        }
      }
      for (const [i, { id, bytes }] of old.entries()) {
        if (i >= 100 && i < 160) continue;
        const isOld = seen.get(id)?.length === bytes.length;
        const changed = i < turn ? i : 299 - i;
        assertBytes(id, seen.get(id), isOld ? bytes : record(id, 20_001, changed).bytes);
        if (changed >= turn) assert.ok(isOld, `${id}: got other bytes than were ever saved`);
      }
    }),
  ];
}

async function expectEntries(store: AdapterCollection, expected: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const seen = new Set<string>();
  for await (const portion of store.entries()) {
    for (const { id, bytes } of portion) {
      seen.add(id);
      assertBytes(JSON.stringify(id), bytes, expected.get(id));
    }
  }
  assert.equal(seen.size, expected.size, `entries: got ${seen.size}, expected ${expected.size}`);
}
