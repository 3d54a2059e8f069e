/** Registers the conformance suite with vitest, and tells the closing summary of `npm test` what was covered. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { BackendName, KernelBackend } from '../../src/kernels/contract.js';
import { type KernelGoldens, kernelConformance } from '../../src/testing/index.js';
import { covered, isRequired, skipped } from '../support/coverage-report.js';

export const goldens: KernelGoldens = JSON.parse(
  readFileSync(new URL('../golden/kernels.json', import.meta.url), 'utf8'),
);

export function describeConformance(backend: KernelBackend): void {
  describe(backend.device, () => {
    afterAll(() => {
      covered('backend', backend.name);
      if (backend.name === 'cpu') covered('instruction set', backend.device);
    });
    for (const { name, run } of kernelConformance(() => backend, { goldens })) test(name, run);
  });
}

/** A test that says why the backend is not here; a failure if LORAKEET_REQUIRE lists it. */
export function describeUnavailable(name: BackendName, reason: string): void {
  test(`the ${name} backend`, ({ skip }) => {
    skipped('backend', name, reason);
    expect(isRequired(name), `LORAKEET_REQUIRE lists ${name}, but: ${reason}`).toBe(false);
    skip(reason);
  });
}
