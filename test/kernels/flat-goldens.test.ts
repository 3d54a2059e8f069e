import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const golden = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));

it('the goldens that the CUDA checks read are those of kernels.json', () => {
  const flat = execFileSync(process.execPath, [golden('flatten-kernels.mjs')], { encoding: 'utf8' });
  expect(flat === readFileSync(golden('kernels.txt'), 'utf8'), 'run test/golden/flatten-kernels.mjs again').toBe(true);
});
