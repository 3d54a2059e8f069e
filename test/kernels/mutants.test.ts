/** That the suite can fail: it refuses every mutant, by a case that is about what the mutant does wrong. */
import { expect, test } from 'vitest';
import { jsBackend } from '../../src/kernels/js.js';
import { kernelConformance } from '../../src/testing/index.js';
import { MUTANTS, type Mutant, mutate } from '../../src/testing/mutants.js';
import { goldens } from './conformance.js';

/** Names of the cases that fail, of those whose names begin with `prefix`. */
async function failures(mutant: Mutant, prefix: string): Promise<string[]> {
  const backend = mutate(jsBackend, mutant);
  const failed: string[] = [];
  for (const { name, run } of kernelConformance(() => backend, { goldens, quick: true })) {
    if (!name.startsWith(prefix)) continue;
    try {
      await run();
    } catch {
      failed.push(name);
    }
  }
  return failed;
}

test.each([...MUTANTS])('refuses: $name', async (mutant) => {
  const failed = await failures(mutant, mutant.caughtBy);
  expect(failed).not.toEqual([]);
});

test('a mutant that spoils nothing passes every case: the wrapper itself is no mistake', async () => {
  expect(await failures({ name: 'none', caughtBy: '', spoils: {} }, '')).toEqual([]);
});
