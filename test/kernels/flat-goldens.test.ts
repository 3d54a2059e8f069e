import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { flattenKernels } from '../golden/flatten-kernels.mjs';

it('the goldens that the CUDA checks read are those of kernels.json', () => {
  const committed = readFileSync(new URL('../golden/kernels.txt', import.meta.url), 'utf8');
  expect(committed === flattenKernels(), 'run test/golden/flatten-kernels.mjs again').toBe(true);
});
