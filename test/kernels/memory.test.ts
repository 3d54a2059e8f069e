import { describe, expect, it } from 'vitest';
import type { PoolConfig } from '../../src/kernels/contract.js';
import { createNativeBackend, nativeInfo } from '../../src/kernels/native.js';
import { poolConfig, range } from '../../src/testing/harness.js';

const native = nativeInfo();
const CONFIG: Partial<PoolConfig> = {
  ...{ rank: 4, inFeatures: 64, outFeatures: 64, residual: true },
  ewc: { form: 'proximal', lambda: 1 },
};
/** Weights, Fisher and anchor, of 512 numbers each. */
const SLOT_BYTES = { fp32: 512 * 12, bf16: 512 * 8 };

describe.skipIf(!native.available)(`memory of a pool${native.reason && ` (skipped: ${native.reason})`}`, () => {
  function bytesOf(users: number, config: Partial<PoolConfig>): number {
    const pool = createNativeBackend({ device: 'cpu' }).createPool(poolConfig({ ...CONFIG, ...config }));
    try {
      const batch = Math.min(500, users);
      const slabs = new Float32Array(batch * pool.layout.slabLength).fill(0.5);
      for (let first = 0; first < users; first += batch) {
        const slots = range(batch).map((slot) => first + slot);
        pool.write(slots, slabs, new Uint32Array(batch));
      }
      return pool.memoryBytes;
    } finally {
      pool.close();
    }
  }

  for (const stateDtype of ['fp32', 'bf16'] as const) {
    it.each([
      ['a small pool', 500, 500],
      ['a full pool', 10_000, 10_000],
      ['a pool with room for as many again', 20_001, 10_000],
      ['a pool with room for millions', 2 ** 31 - 1, 10_000],
    ])(`is the slots and at most 64 bytes for each user, in ${stateDtype}: %s`, (_, capacity, users) => {
      const beyond = bytesOf(users, { capacity, stateDtype }) / users - SLOT_BYTES[stateDtype];
      expect(beyond).toBeGreaterThan(0);
      expect(beyond).toBeLessThanOrEqual(64);
    });

    it(`grows by one slot with one user, in ${stateDtype}`, () => {
      const [one, two] = [1, 2].map((users) => bytesOf(users, { capacity: 1000, stateDtype }));
      expect(two - one).toBeGreaterThanOrEqual(SLOT_BYTES[stateDtype]);
      expect(two - one).toBeLessThanOrEqual(SLOT_BYTES[stateDtype] + 64);
    });
  }
});
