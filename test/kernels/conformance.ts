/** Registers the conformance suite with vitest. */
import { readFileSync } from 'node:fs';
import { describe, test } from 'vitest';
import type { KernelBackend } from '../../src/kernels/contract.js';
import { type KernelGoldens, kernelConformance } from '../../src/testing/index.js';

export const goldens: KernelGoldens = JSON.parse(
  readFileSync(new URL('../golden/kernels.json', import.meta.url), 'utf8'),
);

export function describeConformance(title: string, makeBackend: () => KernelBackend): void {
  describe(title, () => {
    for (const { name, run } of kernelConformance(makeBackend, { goldens })) test(name, run);
  });
}

/** The environment variable LORAKEET_REQUIRE lists backends whose absence is a failure instead of a skip. */
export function describeUnavailable(name: string, reason: string): void {
  const required = (process.env.LORAKEET_REQUIRE ?? '').split(',').includes(name);
  test.skipIf(!required)(`the ${name} backend is here (${reason})`, () => {
    throw new Error(`LORAKEET_REQUIRE names ${name}, but: ${reason}`);
  });
  if (!required) console.warn(`conformance of the ${name} backend skipped: ${reason}`);
}
