import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';

const native = nativeInfo();

describe.skipIf(!native.available)(
  `the addon in several contexts${native.reason && ` (skipped: ${native.reason})`}`,
  () => {
    it('computes the same bits in every worker thread, and survives workers ended in the middle of calls', () => {
      const script = fileURLToPath(new URL('contexts.mjs', import.meta.url));
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
      expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
      const bits = JSON.parse(stdout) as number[];
      expect(bits).toHaveLength(4);
      expect(new Set(bits).size).toBe(1);
      expect(bits[0]).not.toBe(0);
    });
  },
);
