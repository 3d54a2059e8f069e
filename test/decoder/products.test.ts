/** The decoder's matrix products against sums in double: native/decoder/test, on every instruction set of this machine. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';
import { isRequired } from '../support/coverage-report.js';
import { root } from '../support/imports.js';

const program = join(root, 'build/Release/lorakeet_products_test');

it('multiply as sums in double do, on any number of threads', { timeout: 180_000 }, (test) => {
  if (!existsSync(program)) {
    expect(isRequired('cpu'), `LORAKEET_REQUIRE lists cpu, and there is no ${program}`).toBe(false);
    test.skip('the native parts were not built here');
  }
  const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
  expect(lines.map((line) => line.replace(' with bf16', ''))).toEqual(nativeInfo().isas.map((isa) => `${isa}: ok`));
});
