import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { confinePath, requireRelativeName } from '../../src/files/confined-path.js';
import { codeOf } from '../adapter/helpers.js';

const NAUGHTY = [
  '',
  '.',
  '..',
  '/',
  '/etc/passwd',
  '../x',
  'a/../b',
  'a/..',
  './a',
  'a/./b',
  'a//b',
  'a/',
  'a\0b',
  'a\nb',
  'a\\b',
  '..\\x',
  'C:/x',
  'c:',
  'file:stream',
  'nul',
  'COM1.txt',
  'a/aux.json',
  'ends.',
  'ends ',
  '\ud800',
  'x'.repeat(256),
  'ü'.repeat(128),
  'a/'.repeat(32).concat('a'),
  Array(5).fill('x'.repeat(250)).join('/'),
  7,
  null,
  undefined,
  ['a'],
];

describe('requireRelativeName', () => {
  it.each(NAUGHTY)('refuses %j', (name) => {
    expect(codeOf(() => requireRelativeName('name', name))).toBe('ERR_PATH_NOT_ALLOWED');
  });

  it.each([
    'a',
    'a/b',
    '.hidden',
    'a..b',
    '...x',
    '~',
    'user@example.org',
    'ü',
    '😀',
    'x'.repeat(255),
    'console',
    '-rf',
  ])('takes %j', (name) => {
    expect(requireRelativeName('name', name)).toBe(name);
  });
});

describe('confinePath', () => {
  let top: string;
  beforeAll(() => {
    top = realpathSync(mkdtempSync(join(tmpdir(), 'lorakeet-paths-')));
    mkdirSync(join(top, 'root', 'inner'), { recursive: true });
    mkdirSync(join(top, 'root-beside'));
    writeFileSync(join(top, 'root', 'file'), '');
    symlinkSync(join(top, 'root-beside'), join(top, 'root', 'out'));
    symlinkSync('..', join(top, 'root', 'inner', 'up'));
    symlinkSync('../..', join(top, 'root', 'inner', 'up-up'));
    symlinkSync('inner', join(top, 'root', 'within'));
    symlinkSync(join(top, 'nowhere'), join(top, 'root', 'dangling'));
    symlinkSync('loop', join(top, 'root', 'loop'));
    symlinkSync('root', join(top, 'link-to-root'));
  });
  afterAll(() => rmSync(top, { recursive: true, force: true }));

  const codeFor = async (root: string, name: string) =>
    confinePath(join(top, root), name).then(
      (path) => path,
      (error) => error.code,
    );

  it.each(['out', 'out/x', 'inner/up', 'inner/up-up/x', 'dangling', 'dangling/x', 'loop', 'file/x', '../root-beside'])(
    'refuses %s',
    async (name) => {
      expect(await codeFor('root', name)).toBe('ERR_PATH_NOT_ALLOWED');
    },
  );

  it.each(['file', 'inner', 'inner/new', 'new/deep/er', 'within/new', 'inner/up/file'])('takes %s', async (name) => {
    expect(await codeFor('root', name)).toBe(join(top, 'root', name));
    expect(await codeFor('link-to-root', name)).toBe(join(top, 'root', name));
  });

  it('needs a root that is there', async () => {
    expect(await codeFor('missing', 'x')).toBe('ERR_FILE_ACCESS');
  });
});
