import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';
import { root } from '../support/imports.js';

describe('docs/dashboard.md', () => {
  testCodeBlocks('docs/dashboard.md');

  it('shows pictures that are there', () => {
    const text = readFileSync(join(root, 'docs/dashboard.md'), 'utf8');
    const pictures = [...text.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map(([, path]) => path);
    expect(pictures).toHaveLength(4);
    expect(pictures.filter((path) => !existsSync(join(root, 'docs', path)))).toEqual([]);
  });
});
