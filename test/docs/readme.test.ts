/** The README's code is compiled and run, its commands exist, and its links lead somewhere. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/imports.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
const folder = join(root, '.setup', 'readme');
const fileOf = (index: number) => join(folder, `block-${index + 1}.ts`);

describe('README.md', () => {
  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    blocks.forEach((code, i) => {
      writeFileSync(fileOf(i), code);
    });
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.check.json', include: ['*.ts'] }),
    );
  });

  it('shows the engine and the pool', () => {
    expect(blocks.some((code) => code.includes('createLoRAPersonalizationEngine('))).toBe(true);
    expect(blocks.some((code) => code.includes('createAdapterPool('))).toBe(true);
  });

  it('has code that compiles', () => {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it.each(blocks.map((_, i) => i + 1))('has code that runs: block %i', async (number) => {
    await import(pathToFileURL(fileOf(number - 1)).href);
  });

  it('names only commands that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const named = [...readme.matchAll(/(?:^|`)npm (?:run )?([a-z][a-z:]*)/gm)].map((match) => match[1]);
    expect(named).toContain('start');
    expect(named.filter((name) => !(name in scripts) && !['install', 'pack'].includes(name))).toEqual([]);
  });

  it.each(['README.md', 'ARCHITECTURE.md'])('%s links only to files that exist', (name) => {
    const text = readFileSync(join(root, name), 'utf8');
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1]);
    expect(targets.filter((target) => !existsSync(join(root, target)))).toEqual([]);
  });
});
