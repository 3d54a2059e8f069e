/**
 * Saves, deletes and compacts in a packed store until somebody kills it. Before each call it prints what it is about to do,
 * one line per adapter, and after it that it is done: `will NUMBER save|delete ID`, `done NUMBER`.
 *
 *   node writing-process.mjs DIST FOLDER SEED FIRST-NUMBER
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { contentOf } from './written-content.mjs';

const [dist, folder, seed, first] = process.argv.slice(2);
const from = (module) => import(new URL(module, pathToFileURL(`${dist}/`)).href);
const { PackedAdapterStore } = await from('stores/packed.js');
const { SeededRandom } = await from('testing/random.js');

const random = new SeededRandom(Number(seed));
// small segments: one is always being compacted
const store = await PackedAdapterStore.open(folder, { segmentBytes: 30_000 });
let number = Number(first);

async function work() {
  for (;;) {
    const ids = Array.from(random.distinct(random.integer(1, 8), 60), (i) => `user-${i}`);
    const kind = random.uniform() < 0.75 ? 'save' : 'delete';
    const calls = ids.map((id) => ({ id, number: number++ }));
    writeSync(1, calls.map((call) => `will ${call.number} ${kind} ${call.id}\n`).join(''));
    if (kind === 'save') await store.save(calls.map((call) => ({ id: call.id, bytes: contentOf(call.number) })));
    else await store.delete(ids);
    writeSync(1, calls.map((call) => `done ${call.number}\n`).join(''));
    if (random.uniform() < 0.02) await store.compact();
  }
}

await Promise.all([work(), work(), work()]);
