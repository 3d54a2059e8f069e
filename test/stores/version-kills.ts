/**
 * kill -9 at random moments while one or two processes change a version store: every acknowledged version is there, whole, or
 * was deleted on purpose; nothing half-written is seen, no alias dangles, no number is given twice.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { SeededRandom } from '../../src/testing/random.js';
import { AdapterVersions, checkStore, type VersionStore } from '../../src/versions/index.js';
import { root } from '../support/imports.js';

/** LORAKEET_KILLS says how often. */
export const KILLS = Number(process.env.LORAKEET_KILLS ?? 15);
export const KILLS_TIMEOUT_MS = 60_000 + 2000 * KILLS;

const ROUNDS_OF_AN_ERA = 12;
const dist = join(root, 'dist');
const program = join(root, 'test', 'stores', 'publishing-process.mjs');

export interface KillableStore {
  /** For publishing-process.mjs. */
  kind: 'files' | 'postgres' | 's3';
  /** Where the store of an era lies: an empty one for each, because reading everything takes ever longer. */
  locationOf(era: number): string;
  /** How often; default KILLS. */
  kills?: number;
  /** A process is killed at most so long after its first version; default 200. */
  withinMs?: number;
  /** The same store, for this process; called after every round. */
  open(location: string): Promise<VersionStore & { close(): unknown }>;
  /** Kills the store's own server while processes write, and resolves when it is back; in every other round. */
  killServer?(random: SeededRandom): Promise<void>;
}

/** Runs a process until it is killed: some time after its first line, and after what `first` does then; all it has told. */
async function runAndKill(args: readonly string[], afterMs: number, first: () => unknown) {
  const child = spawn(process.execPath, [program, dist, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
  const lines: string[][] = [];
  let killing: Promise<unknown> | undefined;
  for await (const line of createInterface(child.stdout)) {
    killing ??= delay(afterMs)
      .then(first)
      .finally(() => child.kill('SIGKILL'));
    lines.push(line.split(' '));
  }
  expect(await ended).toBe('SIGKILL');
  await killing;
  return lines;
}

export async function playKills(store: KillableStore): Promise<void> {
  const { kills = KILLS, withinMs = 200 } = store;
  if (!existsSync(join(dist, 'versions', 'index.js'))) throw new Error('dist/versions is missing: npm run build');
  const random = new SeededRandom(12);
  let [killed, published] = [0, 0];
  let hashes = new Map<string, string>();
  let activated = new Set<string>();
  for (let kill = 0, round = 0; kill < kills; round++) {
    if (round % ROUNDS_OF_AN_ERA === 0) {
      hashes = new Map();
      activated = new Set();
    }
    const location = store.locationOf(Math.floor(round / ROUNDS_OF_AN_ERA));
    const company = round % 2 === 0 ? 'alone' : 'shared';
    const seeds = company === 'alone' ? [kill] : [kill, kill + 1];
    killed += seeds.length;
    kill += seeds.length;
    const serverToo = store.killServer !== undefined && round % 4 >= 2;
    if (serverToo) kill += 1;
    const told = await Promise.all(
      seeds.map((seed, i) =>
        runAndKill([store.kind, location, `${seed}`, company], random.uniform(0, withinMs), async () => {
          if (!serverToo || i > 0) return;
          await store.killServer?.(random);
          await delay(random.uniform(0, 200));
        }),
      ),
    );
    for (const [what, adapter, version, hash] of told.flat()) {
      const name = `${adapter} ${version}`;
      if (what === 'published' && hash?.length === 64) {
        expect(hashes.has(name), `${name} was published twice`).toBe(false);
        hashes.set(name, hash);
        published += 1;
      }
      if (what === 'activated') activated.add(name);
    }
    await expectIntact(await store.open(location), hashes, activated);
  }
  // each was killed after its first
  expect(published).toBeGreaterThanOrEqual(killed);
}

async function expectIntact(
  store: VersionStore & { close(): unknown },
  hashes: ReadonlyMap<string, string>,
  activated: ReadonlySet<string>,
): Promise<void> {
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
  await store.close();
}
