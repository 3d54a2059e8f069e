/**
 * kill -9 at random moments while one or two processes change a version store: every acknowledged version is there, whole, or
 * was deleted on purpose; nothing half-written is seen, no alias dangles, no number is given twice. LORAKEET_KILLS says how
 * often.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FileVersionStore } from '../../src/stores/files.js';
import { SeededRandom } from '../../src/testing/random.js';
import { AdapterVersions, checkStore } from '../../src/versions/index.js';
import { root } from '../support/imports.js';

const KILLS = Number(process.env.LORAKEET_KILLS ?? 15);
const dist = join(root, 'dist');
const program = join(root, 'test', 'stores', 'publishing-process.mjs');
let folder: string;

beforeAll(() => {
  if (!existsSync(join(dist, 'versions', 'index.js'))) throw new Error('dist/versions is missing: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-version-kill-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs a process and kills it some time after its first line; returns all that it has told. */
async function runAndKill(seed: number, company: 'alone' | 'shared', afterMs: number): Promise<string[][]> {
  const args = [program, dist, folder, String(seed), company];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
  const lines: string[][] = [];
  for await (const line of createInterface(child.stdout)) {
    if (lines.length === 0) void delay(afterMs).then(() => child.kill('SIGKILL'));
    lines.push(line.split(' '));
  }
  expect(await ended).toBe('SIGKILL');
  return lines;
}

it(
  'leaves every acknowledged version intact',
  async () => {
    const random = new SeededRandom(12);
    const hashes = new Map<string, string>();
    const activated = new Set<string>();
    for (let kill = 0; kill < KILLS; ) {
      const company = kill % 3 === 0 ? 'alone' : 'shared';
      const seeds = company === 'alone' ? [kill] : [kill, kill + 1];
      const told = await Promise.all(seeds.map((seed) => runAndKill(seed, company, random.uniform(0, 200))));
      kill += seeds.length;
      for (const [what, adapter, version, hash] of told.flat()) {
        const name = `${adapter} ${version}`;
        if (what === 'published' && hash?.length === 64) {
          expect(hashes.has(name), `${name} was published twice`).toBe(false);
          hashes.set(name, hash);
        }
        if (what === 'activated') activated.add(name);
      }
      await expectIntact(hashes, activated);
    }
    expect(hashes.size).toBeGreaterThan(KILLS);
  },
  60_000 + 2000 * KILLS,
);

async function expectIntact(hashes: ReadonlyMap<string, string>, activated: ReadonlySet<string>): Promise<void> {
  const store = await FileVersionStore.open(folder);
  const { problems } = await checkStore(store);
  expect(problems).toEqual([]);
  for (const adapter of ['feed', 'team/search']) {
    const versions = new AdapterVersions(store, adapter);
    const changes = await versions.history(1_000_000);
    const ofThis = (names: Iterable<string>) =>
      [...names].flatMap((name) => (name.startsWith(`${adapter} `) ? [name.slice(adapter.length + 1)] : []));
    const recorded = changes.filter(({ operation }) => operation === 'activate').map(({ version }) => version);
    expect(recorded).toEqual(expect.arrayContaining(ofThis(activated)));
    const deleted = new Set(changes.flatMap((change) => change.deleted));
    const held = new Set((await versions.state()).versions.map(({ version }) => version));
    for (const version of ofThis(hashes.keys())) {
      expect(held.has(version), `${adapter} ${version}: held, or deleted on purpose`).toBe(!deleted.has(version));
      if (!held.has(version)) continue;
      const { files } = await versions.manifest(version);
      expect(files['adapter.bin'].sha256).toBe(hashes.get(`${adapter} ${version}`));
    }
  }
  store.close();
}
