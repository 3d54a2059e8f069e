import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';

const native = nativeInfo();

describe.skipIf(!native.available)(`rows of a queued call${native.reason && ` (skipped: ${native.reason})`}`, () => {
  it('stay in memory until it is done, even when nothing else refers to them', () => {
    const script = fileURLToPath(new URL('kept-rows.mjs', import.meta.url));
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
    const { status, signal, stdout } = spawnSync(process.execPath, ['--expose-gc', script], { encoding: 'utf8', env });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    expect(JSON.parse(stdout)).toEqual({ collected: true, same: true });
  });
});
