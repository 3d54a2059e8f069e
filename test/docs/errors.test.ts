import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ERROR_CODES, LorakeetError } from '../../src/errors.js';
import { root, sourceFiles } from '../support/imports.js';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

it('docs/errors.md lists exactly the codes of src/errors.ts, with the same meanings', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `(ERR_\w+)` \| (.+) \|$/gm)];
  expect(rows.map(([, code, meaning]) => [code, meaning])).toEqual(Object.entries(ERROR_CODES));
});

it('every code is used somewhere in the sources', () => {
  const sources = ['src', 'binding'].flatMap((folder) =>
    sourceFiles(folder, /\.(ts|cc|h)$/)
      .map((name) => `${folder}/${name}`)
      .filter((path) => path !== 'src/errors.ts'),
  );
  const text = sources.map(read).join('\n');
  const unused = Object.keys(ERROR_CODES).filter((code) => !text.includes(code));
  expect(unused).toEqual([]);
});

it('an error carries its code and cause', () => {
  const cause = new Error('below');
  const error = new LorakeetError('ERR_POOL_FULL', 'message', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'LorakeetError', code: 'ERR_POOL_FULL', message: 'message', cause });
});
