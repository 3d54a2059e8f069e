import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRICS } from '../../src/service/metrics/declarations.js';
import { root } from '../support/imports.js';

describe('docs/deployment.md', () => {
  it('lists the metrics as they are declared', () => {
    const text = readFileSync(join(root, 'docs/deployment.md'), 'utf8');
    const rows = [...text.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, name, rest]) => [name, rest]);
    const declared = Object.entries(METRICS).map(([name, { kind, labels, help }]) => {
      return [name, `${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help}`];
    });
    expect(rows).toEqual(declared);
  });
});
