/** The built program in a process of its own, by the entry of package.json. Runs against dist/, which `npm test` builds first. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/imports.js';
import { answering, json } from './answers.js';

const { bin, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const main = join(root, bin.lorakeet);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-bin-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the program that package.json names', () => {
  it('starts, is a script for node, and tells its version', () => {
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const ran = spawnSync(process.execPath, [main, '--version'], { encoding: 'utf8', cwd: folder });
    expect([ran.status, ran.stdout, ran.stderr]).toEqual([0, `${version}\n`, '']);
  });

  it('ends with the exit code of what it did', () => {
    const ran = spawnSync(process.execPath, [main, 'lora', 'stop'], { encoding: 'utf8', cwd: folder });
    expect([ran.status, ran.stdout, ran.stderr]).toEqual([2, '', "lorakeet: unknown command 'stop'\n"]);
  });

  it.skipIf(process.platform === 'win32')('is silent when its reader has seen enough', () => {
    // more than a pipe holds
    const row = { feedback_type: 'thumbs_up', request_data: { text: 'x'.repeat(1000) }, response_data: {} };
    const rows = Array.from({ length: 1000 }, (_, i) => `${JSON.stringify({ id: `row-${i}`, ...row })}\n`);
    writeFileSync(join(folder, 'rows.jsonl'), rows.join(''));
    const program = `'${process.execPath}' '${main}'`;
    const store = `--set storage.folder='${folder}'`;
    const script = `${program} feedback import rows.jsonl ${store} && { ${program} feedback export ${store}; echo "code $?" >&2; } | { read -r line; echo "$line"; }`;
    const ran = spawnSync('sh', ['-c', script], { encoding: 'utf8', cwd: folder });
    expect(ran.stdout.split('\n').filter((line) => line.startsWith('{'))).toHaveLength(1);
    expect(ran.stderr).toEqual(expect.stringMatching(/^(import \d+% \d+ lines\n)+code 0\n$/));
  });

  it.skipIf(process.platform === 'win32').each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends in order when interrupted by %s', async (signal, code) => {
    const job = { id: 'j-1', state: 'running', payload: null, progress: { phase: 'train', done: 1, total: 8 } };
    const server = await answering((_, response) => json(response, 200, job));
    const child = spawn(process.execPath, [main, 'jobs', 'wait', 'j-1', '--base-url', server.url], { cwd: folder });
    let stderr = '';
    child.stderr.on('data', (text) => {
      const before = stderr;
      stderr += text;
      // once: a second signal ends it at once
      if (stderr.includes('train 12%') && !before.includes('train 12%')) child.kill(signal);
    });
    const ended = await new Promise((done) => child.on('exit', done));
    await server.close();
    expect(ended).toBe(code);
    expect(stderr).toContain('the job goes on');
  });
});
