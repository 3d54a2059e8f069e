/** kill -9 while users are being evicted: every save that was acknowledged is there, whole, and the next process goes on. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeAdapter } from '../../src/adapter/codec.js';
import { SqliteAdapterStore } from '../../src/stores/sqlite-adapters.js';
import { SeededRandom } from '../../src/testing/random.js';
import { root } from '../support/imports.js';

const KILLS = 5;
const dist = join(root, 'dist');
const program = join(root, 'test', 'stores', 'evicting-process.mjs');
let folder: string;

beforeAll(() => {
  if (!existsSync(dist)) throw new Error('dist/ is missing: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-kill-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Saved {
  version: number;
  hash: string;
}

/** Runs the process on `file` and kills it once it has told of `count` saves; returns the last of each user. */
async function runAndKill(file: string, seed: number, count: number): Promise<Map<string, Saved>> {
  const child = spawn(process.execPath, [program, dist, file, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
  const saved = new Map<string, Saved>();
  let lines = 0;
  // whatever the process still manages to tell before the signal reaches it counts too
  for await (const line of createInterface(child.stdout)) {
    const [id, version, hash] = line.split(' ');
    if (hash?.length === 64) saved.set(id, { version: Number(version), hash });
    if (++lines === count) child.kill('SIGKILL');
  }
  expect(await ended).toBe('SIGKILL');
  return saved;
}

it('leaves every acknowledged save readable', async () => {
  const file = join(folder, 'adapters.db');
  const random = new SeededRandom(11);
  const acknowledged = new Map<string, Saved>();
  for (let kill = 0; kill < KILLS; kill++) {
    const saved = await runAndKill(file, kill, random.integer(1, 30));
    for (const [id, one] of saved) {
      // the process went on from what the one before had saved
      expect(one.version).toBeGreaterThan(acknowledged.get(id)?.version ?? 1);
      acknowledged.set(id, one);
    }
    const store = new SqliteAdapterStore(file);
    const ids = [...acknowledged.keys()];
    const found = await store.load(ids);
    ids.forEach((id, i) => {
      const bytes = found[i] as Uint8Array;
      const { version } = decodeAdapter(bytes).meta as { version: number };
      const { version: told, hash } = acknowledged.get(id) as Saved;
      // a save may be in the file without having been told of
      expect(version).toBeGreaterThanOrEqual(told);
      if (version === told) expect(createHash('sha256').update(bytes).digest('hex')).toBe(hash);
    });
    store.close();
  }
  expect(acknowledged.size).toBeGreaterThan(10);
});
