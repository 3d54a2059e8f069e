/**
 * kill -9 at random moments while a packed store is written to and compacted: what was acknowledged is there, whole, what was
 * deleted stays away, and the next process goes on. LORAKEET_KILLS says how often.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { PackedAdapterStore } from '../../../src/stores/packed.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { root } from '../../support/imports.js';
import { useFolders } from './folders.js';
import { contentOf } from './written-content.mjs';

const KILLS = Number(process.env.LORAKEET_KILLS ?? 10);
const dist = join(root, 'dist');
const program = join(root, 'test', 'stores', 'packed', 'writing-process.mjs');
const newFolder = useFolders();

beforeAll(() => {
  if (!existsSync(join(dist, 'stores', 'packed.js'))) throw new Error('dist/stores is missing: npm run build');
});

/** What an id may hold: after the call that was acknowledged last, or any later one. */
type Calls = Map<number, 'save' | 'delete'>;

/** Runs a process and kills it some time after its first acknowledgement; returns the lines that it has printed. */
async function runAndKill(folder: string, seed: number, first: number, afterMs: number): Promise<string[][]> {
  const args = [program, dist, folder, String(seed), String(first)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
  const lines: string[][] = [];
  let isDue = false;
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('done') && !isDue) {
      isDue = true;
      void delay(afterMs).then(() => child.kill('SIGKILL'));
    }
    lines.push(line.split(' '));
  }
  expect(await ended).toBe('SIGKILL');
  return lines;
}

/** Adds what the process told to what is known of each id; returns the number of the next call. */
function learn(known: Map<string, Calls>, lines: readonly string[][], first: number): number {
  const idOf = new Map<number, string>();
  let next = first;
  for (const [what, text, kind, id] of lines) {
    const number = Number(text);
    if (what === 'will' && (kind === 'save' || kind === 'delete') && id) {
      if (!known.has(id)) known.set(id, new Map([[-1, 'delete']]));
      known.get(id)?.set(number, kind);
      idOf.set(number, id);
      next = Math.max(next, number + 1);
    } else if (what === 'done') {
      const calls = known.get(idOf.get(number) as string) as Calls;
      // calls of one process at the same id take effect in their order
      for (const earlier of calls.keys()) if (earlier < number) calls.delete(earlier);
    }
  }
  return next;
}

it(
  'leaves every acknowledged call as it was',
  async () => {
    const folder = newFolder();
    const random = new SeededRandom(13);
    const known = new Map<string, Calls>();
    let first = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const lines = await runAndKill(folder, kill, first, random.uniform(0, 80));
      // a line that the kill has cut is no call: its number may have been cut as well
      first = learn(known, lines, first) + 1000;
      const store = await PackedAdapterStore.open(folder);
      const entries = new Map<string, Uint8Array>();
      for await (const portion of store.entries()) for (const { id, bytes } of portion) entries.set(id, bytes);
      expect(entries.size).toBe(store.size);
      for (const [id, calls] of known) {
        const bytes = entries.get(id);
        const number = bytes && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
        if (bytes && number !== undefined) {
          expect(calls.get(number), `${id} has call ${number}, may have ${[...calls.keys()]}`).toBe('save');
          expect(Buffer.compare(bytes, contentOf(number))).toBe(0);
          // what is there now is durable
          for (const earlier of calls.keys()) if (earlier < number) calls.delete(earlier);
        } else {
          expect([...calls.values()], `${id} is not there`).toContain('delete');
        }
        entries.delete(id);
      }
      expect([...entries.keys()]).toEqual([]);
      await store.close();
    }
    expect(first).toBeGreaterThan(KILLS * 1000);
  },
  60_000 + 2000 * KILLS,
);
