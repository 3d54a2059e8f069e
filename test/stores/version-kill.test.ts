import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, it } from 'vitest';
import { FileVersionStore } from '../../src/stores/files.js';
import { KILLS_TIMEOUT_MS, playKills } from './version-kills.js';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-version-kill-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it(
  'in a folder every acknowledged version stays intact when processes are killed',
  () => playKills({ kind: 'files', locationOf: (era) => join(folder, `${era}`), open: FileVersionStore.open }),
  KILLS_TIMEOUT_MS,
);
