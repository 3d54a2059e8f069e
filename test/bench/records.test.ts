import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { describeMachine, readCaches, readCommit } from '../../bench/src/machine.js';
import { appendRecord, type RunRecord } from '../../bench/src/results.js';
import { formatTable } from '../../bench/src/table.js';

const folder = mkdtempSync(join(tmpdir(), 'lorakeet-bench-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(path: string, text: string): void {
  const full = join(folder, path);
  mkdirSync(join(full, '..'), { recursive: true });
  writeFileSync(full, text);
}

describe('the commit', () => {
  const hash = 'a'.repeat(40);

  it('is read from a reference, packed references, a detached HEAD, or a linked work tree', () => {
    write('loose/.git/HEAD', 'ref: refs/heads/main\n');
    write('loose/.git/refs/heads/main', `${hash}\n`);
    write('packed/.git/HEAD', 'ref: refs/heads/main\n');
    write('packed/.git/packed-refs', `# pack-refs\n${'b'.repeat(40)} refs/heads/other/main\n${hash} refs/heads/main\n`);
    write('detached/.git/HEAD', `${hash}\n`);
    write('linked/.git', 'gitdir: ../loose/.git/worktrees/linked\n');
    write('loose/.git/worktrees/linked/HEAD', 'ref: refs/heads/main\n');
    write('loose/.git/worktrees/linked/commondir', '../..\n');
    for (const name of ['loose', 'packed', 'detached', 'linked'])
      expect(readCommit(join(folder, name)), name).toBe(hash);
  });

  it('is unknown outside of a repository, and before the first commit', () => {
    write('none/file', '');
    write('empty/.git/HEAD', 'ref: refs/heads/main\n');
    expect(readCommit(join(folder, 'none'))).toBe('unknown');
    expect(readCommit(join(folder, 'empty'))).toBe('unknown');
  });
});

describe('the caches', () => {
  it('are those that Linux lists', () => {
    const list = (index: number, level: string, type: string, size: string) => {
      write(`cache/index${index}/level`, `${level}\n`);
      write(`cache/index${index}/type`, `${type}\n`);
      write(`cache/index${index}/size`, `${size}\n`);
    };
    list(0, '1', 'Data', '48K');
    list(1, '1', 'Instruction', '32K');
    list(2, '2', 'Unified', '1024K');
    const two = readCaches(join(folder, 'cache'));
    expect(two).toEqual({ L1: 48 * 1024, L2: 2 ** 20, L3: 2 ** 20, assumed: false });
    list(3, '3', 'Unified', '32M');
    expect(readCaches(join(folder, 'cache')).L3).toBe(2 ** 25);
  });

  it('are assumed elsewhere', () => {
    expect(readCaches(join(folder, 'no-such-folder')).assumed).toBe(true);
  });
});

describe('a record', () => {
  it('is one line of JSON, added to those before', () => {
    const record: RunRecord = {
      date: '2000-01-01T00:00:00.000Z',
      commit: 'unknown',
      command: 'npm run bench',
      machine: describeMachine(),
      ceilings: null,
      ceilingsMissing: 'no compiler',
      rows: [],
      facade: [],
    };
    const file = join(folder, 'results', 'kernels.jsonl');
    appendRecord(file, record);
    appendRecord(file, { ...record, commit: 'next' });
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ commit }) => commit)).toEqual(['unknown', 'next']);
    expect(lines[0]).toEqual(record);
    expect(lines[0].machine).toMatchObject({ node: process.version, platform: `${process.platform}-${process.arch}` });
  });
});

describe('a table', () => {
  it('is aligned', () => {
    const table = formatTable(
      ['<name', 'ns'],
      [
        ['a', '1000'],
        ['longer', '1'],
      ],
    );
    expect(table.split('\n')).toEqual(['name      ns', '------  ----', 'a       1000', 'longer     1']);
  });
});
