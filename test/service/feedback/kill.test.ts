/** kill -9 while feedback comes from many callers: every row that was acknowledged is there, and no call is there by half. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { readFeedback, SqliteFeedbackStore } from '../../../src/service/index.js';
import { SeededRandom } from '../../../src/testing/index.js';
import { root } from '../../support/imports.js';

const KILLS = 4;
const dist = join(root, 'dist');
const program = join(root, 'test', 'service', 'feedback', 'appending-process.mjs');

it('keeps every acknowledged row', async () => {
  expect(existsSync(dist), 'dist/ is missing: npm run build').toBe(true);
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-kill-'));
  const file = join(folder, 'feedback.db');
  const random = new SeededRandom(5);
  const acknowledged = new Set<string>();
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const count = random.integer(1, 300);
      const child = spawn(process.execPath, [program, dist, file, String(kill)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
      let told = 0;
      for await (const id of createInterface(child.stdout)) {
        if (/-[ab]$/.test(id)) acknowledged.add(id);
        if (++told === count) child.kill('SIGKILL');
      }
      expect(await ended).toBe('SIGKILL');
      const store = new SqliteFeedbackStore(file);
      const found = new Set<string>();
      for await (const { id } of readFeedback(store)) found.add(id);
      await store.close();
      expect([...acknowledged].filter((id) => !found.has(id))).toEqual([]);
      const halves = [...found].filter((id) => !found.has(id.replace(/[ab]$/, (half) => (half === 'a' ? 'b' : 'a'))));
      expect(halves).toEqual([]);
    }
    expect(acknowledged.size).toBeGreaterThan(KILLS);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
