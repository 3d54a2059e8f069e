/** The README's code is compiled and run, its commands exist, and its links lead somewhere. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeBlocksOf, testCodeBlocks } from '../support/code-blocks.js';
import { root } from '../support/imports.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = codeBlocksOf('README.md');

describe('README.md', () => {
  testCodeBlocks('README.md', ['models']);

  it('shows the engine and the pool', () => {
    expect(blocks.some((code) => code.includes('createLoRAPersonalizationEngine('))).toBe(true);
    expect(blocks.some((code) => code.includes('createAdapterPool('))).toBe(true);
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
