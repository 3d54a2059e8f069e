import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';

const native = nativeInfo();

// In a process of its own: a crash has to fail this test, not take the runner with it. .ci/run repeats it with sanitizers.
describe.skipIf(!native.available)(
  `the binding against nonsense${native.reason && ` (skipped: ${native.reason})`}`,
  () => {
    it.each(['1', '2'])('answers 10,000 calls of seed %s with results or coded errors', (seed) => {
      const script = fileURLToPath(new URL('fuzz.mjs', import.meta.url));
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, '--seed', seed], {
        encoding: 'utf8',
      });
      expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
      expect(stdout).toMatch(/^10000 calls, no crash/);
      for (const code of [
        'ok',
        'ERR_LENGTH_MISMATCH',
        'ERR_INVALID_ARGUMENT',
        'ERR_POOL_CLOSED',
        'ERR_SLOT_OUT_OF_RANGE',
      ]) {
        expect(stdout).toContain(code);
      }
    });

    it('answers 6,000 calls on the decoder likewise', () => {
      const script = fileURLToPath(new URL('decoder-fuzz.mjs', import.meta.url));
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, '--calls', '6000'], {
        encoding: 'utf8',
      });
      expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
      expect(stdout).toMatch(/^6000 calls, no crash/);
      for (const outcome of ['ok, forward', 'ok, backward', 'ok, decode', 'ERR_CLOSED', 'ERR_OUT_OF_RANGE']) {
        expect(stdout).toContain(outcome);
      }
    });
  },
);
