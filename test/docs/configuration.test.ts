import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ALL_KEYS } from '../../src/service/config/keys.js';
import { testCodeBlocks } from '../support/code-blocks.js';
import { root } from '../support/imports.js';

describe('docs/configuration.md', () => {
  it('is what `node scripts/write-configuration.mjs` makes of the table of keys', async () => {
    const script = pathToFileURL(join(root, 'scripts/lib/configuration-document.mjs')).href;
    const { configurationDocument } = await import(script);
    expect(readFileSync(join(root, 'docs/configuration.md'), 'utf8')).toBe(configurationDocument(ALL_KEYS));
  });

  testCodeBlocks('docs/configuration.md');
});
