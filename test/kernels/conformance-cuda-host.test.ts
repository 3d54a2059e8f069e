/**
 * The CUDA kernels without a GPU: the same source built for the host (native/cuda/device_host.cc), through the addon and the
 * whole conformance suite. In processes of their own, because a process opens one CUDA module once.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isRequired } from '../support/coverage-report.js';
import { root } from '../support/imports.js';

const shim = join(root, 'build/Release/liblorakeet_cuda_host.so');

/** What the shim is told to be; docs/cuda.md lists the variables. */
const DEVICES: Record<string, Record<string, string>> = {
  'a device like an H200': {},
  'one with room for a few slots, the others on the host': { LORAKEET_CUDA_DEVICE_BYTES: '30000' },
  'one with little shared memory, so that blocks form clusters': { LORAKEET_SHIM_SHARED_BYTES: '6000' },
  'one without clusters, the state in global memory': { LORAKEET_SHIM_SHARED_BYTES: '3000', LORAKEET_SHIM_RANKS: '1' },
  'one that runs independent work in another order': { LORAKEET_SHIM_REVERSED: '1' },
};

describe('the CUDA kernels, run on the host', () => {
  for (const [name, variables] of Object.entries(DEVICES)) {
    it.concurrent(`conform on ${name}`, { timeout: 300_000 }, async (test) => {
      if (!existsSync(shim)) {
        expect(isRequired('cpu'), `LORAKEET_REQUIRE lists cpu, and there is no ${shim}`).toBe(false);
        test.skip('the native parts were not built here');
      }
      const script = join(root, 'dist/testing/run-kernels.js');
      const goldens = join(root, 'test/golden/kernels.json');
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [script, '--backend', 'cuda', '--quick', '--json', '--goldens', goldens],
        { env: { ...process.env, ...variables, LORAKEET_CUDA_MODULE: shim }, maxBuffer: 1 << 26 },
      );
      const { device, passed, failed } = JSON.parse(stdout);
      expect({ device, failed }).toEqual({ device: 'host-shim', failed: 0 });
      expect(passed).toBeGreaterThan(100);
    });
  }
});
