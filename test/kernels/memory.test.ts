import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';

const native = nativeInfo();

/** Numbers of a slot: weights, Fisher and anchor at 64/4. */
const SLAB_LENGTH = 3 * 2 * 4 * 64;
const SLOT_BYTES = 4 * SLAB_LENGTH;

const CONFIG = {
  ...{ rank: 4, inFeatures: 64, outFeatures: 64, threads: 1, residual: 1, optimizer: 0, ewc: 1, stateDtype: 0 },
  ...{ scaling: 1, learningRate: 0.1, maxGradNorm: 1, ewcLambda: 1, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0 },
};

interface Addon {
  createPool(device: string, instructionSet: string, config: Record<string, number>): number;
  closePool(pool: number): void;
  memoryBytes(pool: number): number;
  write(pool: number, slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void;
}

describe.skipIf(!native.available)(`memory of a pool${native.reason && ` (skipped: ${native.reason})`}`, () => {
  const addon = createRequire(import.meta.url)('node-gyp-build')(process.cwd()) as Addon;

  function bytesBeyondSlots(capacity: number, users: number): number {
    const pool = addon.createPool('cpu', '', { ...CONFIG, capacity });
    try {
      const batch = Math.min(500, users);
      const slabs = new Float32Array(batch * SLAB_LENGTH).fill(0.5);
      for (let first = 0; first < users; first += batch) {
        const slots = Uint32Array.from({ length: batch }, (_, i) => first + i);
        addon.write(pool, slots, slabs, new Uint32Array(batch));
      }
      return addon.memoryBytes(pool) - users * SLOT_BYTES;
    } finally {
      addon.closePool(pool);
    }
  }

  it.each([
    ['a small pool', 500, 500],
    ['a full pool', 10_000, 10_000],
    ['a pool with room for as many again', 20_001, 10_000],
    ['a pool with room for millions', 2 ** 31 - 1, 10_000],
  ])('is the slots and at most 64 bytes for each user: %s', (_, capacity, users) => {
    const beyond = bytesBeyondSlots(capacity, users) / users;
    expect(beyond).toBeGreaterThan(0);
    expect(beyond).toBeLessThanOrEqual(64);
  });

  it('grows by one slot with one user', () => {
    const [one, two] = [1, 2].map((users) => bytesBeyondSlots(1000, users) + users * SLOT_BYTES);
    expect(two - one).toBeGreaterThanOrEqual(SLOT_BYTES);
    expect(two - one).toBeLessThanOrEqual(SLOT_BYTES + 64);
  });
});
