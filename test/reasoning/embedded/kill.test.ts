/** kill -9 at any moment: whatever had been reported as stored is there, the file is sound, and work goes on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { ReasoningBank } from '../../../src/reasoning/embedded/bank.js';
import { openSqlite } from '../../../src/sqlite.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { root } from '../../support/imports.js';

const url = (file: string) => JSON.stringify(pathToFileURL(join(root, 'dist', file)).href);

/** Stores in bursts, consolidates and prunes now and then, and reports every id once it is promised. */
const worker = `
  import { writeSync } from 'node:fs';
  import { ReasoningBank } from ${url('reasoning/embedded/bank.js')};
  import { examplePattern, exampleSituation } from ${url('testing/bank-conformance.js')};
  const bank = new ReasoningBank(process.argv[1], { maxEpisodes: 100000 });
  const report = (id) => writeSync(1, id + '\\n');
  for (let i = 0; ; i++) {
    const situation = exampleSituation({ userId: 'user-' + (i % 7), previousVersion: 1 + i });
    await Promise.all(Array.from({ length: 1 + (i % 9) }, () => bank.storePattern(examplePattern({}, situation)).then(report)));
    if (i % 20 === 19) await bank.autoConsolidate(2, 0.5, 30);
  }`;

it('survives kill -9', { timeout: 60_000 }, async () => {
  expect(existsSync(join(root, 'dist/reasoning/embedded/bank.js')), 'run `npm run build` first').toBe(true);
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-kill-'));
  const path = join(folder, 'bank.db');
  const random = new SeededRandom(4);
  try {
    let stored = 0;
    for (let round = 0; round < 5; round++) {
      // Node 22 says of its own SQLite that it is experimental
      const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', worker];
      const child = spawn(process.execPath, [...flags, path]);
      const reported: number[] = [];
      let text = '';
      let errors = '';
      child.stderr.on('data', (data) => {
        errors += data;
      });
      // after so many reports rather than so many ms, so that there is always something to lose
      const limit = random.integer(1, 400);
      child.stdout.on('data', (data) => {
        text += data;
        const lines = text.split('\n');
        text = lines.pop() as string;
        reported.push(...lines.map(Number));
        if (reported.length >= limit) child.kill('SIGKILL');
      });
      const [, signal] = await once(child, 'close');
      expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });

      // a copy, because a connection of this process would keep the next child out until it is collected
      const copy = join(folder, `${round}.db`);
      for (const part of ['', '-wal']) if (existsSync(path + part)) copyFileSync(path + part, copy + part);
      const database = openSqlite(copy);
      expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
      const ids = new Set((database.prepare('SELECT id FROM episodes').all() as { id: number }[]).map(({ id }) => id));
      database.close();
      expect(reported.filter((id) => !ids.has(id))).toEqual([]);
      expect(ids.size).toBeGreaterThanOrEqual(stored + reported.length);
      stored = ids.size;
    }
    const bank = new ReasoningBank(path);
    expect(bank.stats().episodes).toBe(stored);
    await bank.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
