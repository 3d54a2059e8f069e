/** kill -9 while adapters are stored: what was acknowledged is there, with its weights, and no file is half of one. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { FileSystemBlobStorage } from '../../../src/learning/index.js';
import { SqliteAdapterStorage } from '../../../src/stores/learning/sqlite.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { root } from '../../support/imports.js';

const KILLS = 3;
const dist = join(root, 'dist');
const program = join(root, 'test/stores/learning/storing-process.mjs');

/**
 * Kills the process at the next file that it begins once it has told of `count` versions; the last version of each adapter
 * that it has told of.
 */
async function runAndKill(folder: string, count: number): Promise<Map<string, number>> {
  const child = spawn(process.execPath, [program, dist, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
  const told = new Map<string, number>();
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    const [id, version, path] = line.split(' ');
    if (path?.endsWith('.bin')) told.set(id, Number(version));
    if (++lines !== count) continue;
    const blobs = join(folder, 'blobs');
    const watcher = watch(blobs, (_, file) => {
      if (file === null || existsSync(join(blobs, file))) child.kill('SIGKILL');
    });
    void ended.then(() => watcher.close());
  }
  expect(await ended).toBe('SIGKILL');
  return told;
}

it('leaves every acknowledged version readable', async () => {
  if (!existsSync(dist)) throw new Error('dist/ is missing: npm run build');
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-kill-'));
  const random = new SeededRandom(3);
  const acknowledged = new Map<string, number>();
  for (let kill = 0; kill < KILLS; kill++) {
    for (const [id, version] of await runAndKill(folder, random.integer(1, 4))) acknowledged.set(id, version);
    const metadata = new SqliteAdapterStorage(join(folder, 'adapters.db'));
    const blobs = new FileSystemBlobStorage(join(folder, 'blobs'));
    const found = new Map((await metadata.listAdapters()).value.map((one) => [one.id as string, one]));
    for (const [id, version] of acknowledged) expect(found.get(id)?.version).toBeGreaterThanOrEqual(version);
    for (const { blobStoragePath } of found.values()) {
      expect((await blobs.getWeights(blobStoragePath)).value.length).toBe(16 * 2 ** 20);
    }
    const files = readdirSync(join(folder, 'blobs'));
    for (const file of files.filter((name) => name.endsWith('.bin'))) {
      expect((await blobs.getWeights(file)).isSuccess, file).toBe(true);
    }
    expect(files.filter((name) => !/\.(bin|tmp)$/.test(name))).toEqual([]);
    metadata.close();
  }
  expect(acknowledged.size).toBeGreaterThanOrEqual(KILLS);
  rmSync(folder, { recursive: true });
});
