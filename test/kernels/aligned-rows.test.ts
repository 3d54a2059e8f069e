import { describe, expect, it } from 'vitest';
import { alignedRows } from '../../src/kernels/aligned-rows.js';
import type { Rows } from '../../src/kernels/contract.js';
import { createNativeBackend, misalignment, nativeInfo } from '../../src/kernels/native.js';
import { fillSlots, randomBatch } from '../../src/testing/fixtures.js';
import { poolConfig, range, readStates, runUpdate } from '../../src/testing/harness.js';
import { SeededRandom } from '../../src/testing/random.js';
import { makeWorkload } from '../../src/testing/workloads.js';
import { coded } from '../personalization/samples.js';

const native = nativeInfo();

describe('aligned rows', () => {
  it.each([
    [0, 64],
    [1, 16],
    [1, 1],
    [3, 5],
    [7, 64],
    [100, 384],
    [5000, 128],
  ])('are zeros, %i × %i', (count, features) => {
    const rows = alignedRows(count, features);
    expect(rows).toHaveLength(count * features);
    expect(rows.every((value) => value === 0)).toBe(true);
  });

  it('take numbers of rows and features only', () => {
    for (const count of [-1, 1.5, Number.NaN, 2 ** 32, '3' as never, undefined as never]) {
      expect(() => alignedRows(count, 4)).toThrow(coded('ERR_INVALID_ARGUMENT', 'count: got'));
    }
    for (const features of [0, 8193, 2.5, null as never]) {
      expect(() => alignedRows(4, features)).toThrow(coded('ERR_INVALID_ARGUMENT', 'features: got'));
    }
    expect(() => alignedRows(2 ** 32 - 1, 8192)).toThrow(coded('ERR_OUT_OF_MEMORY', 'no memory for'));
  });
});

describe.skipIf(!native.available)(`where rows start${native.reason && ` (skipped: ${native.reason})`}`, () => {
  it('is a multiple of 64 bytes if they are aligned', () => {
    for (let count = 1; count <= 64; count++) {
      const rows = alignedRows(count, 48);
      expect(misalignment(rows)).toBe(0);
      for (let i = 0; i < count; i++) expect(misalignment(rows.subarray(48 * i)), `row ${i}`).toBe((192 * i) % 64);
    }
  });

  it('is told in bytes', () => {
    const rows = alignedRows(4, 16);
    expect([1, 3, 15, 16, 17].map((first) => misalignment(rows.subarray(first)))).toEqual([4, 12, 60, 0, 4]);
    const shared = new Float32Array(new SharedArrayBuffer(256));
    expect(misalignment(shared.subarray(1))).toBe((misalignment(shared) + 4) % 64);
  });

  it('is told of numbers that are there, and of nothing else', () => {
    expect(() => misalignment(new Float64Array(4) as never)).toThrow(
      coded('ERR_INVALID_ARGUMENT', 'values: got Float64Array'),
    );
    expect(() => misalignment(undefined as never)).toThrow(coded('ERR_INVALID_ARGUMENT', 'values: got undefined'));
    const rows = alignedRows(4, 16);
    structuredClone(rows.buffer, { transfer: [rows.buffer as ArrayBuffer] });
    expect(() => misalignment(rows)).toThrow(coded('ERR_LENGTH_MISMATCH', 'detached'));
  });

  it.each(native.isas)('makes no difference to what %s computes', (isa) => {
    const config = poolConfig({ rank: 4, inFeatures: 64, outFeatures: 64, residual: true, capacity: 3 });
    const workload = makeWorkload('skewed', { users: 3, rows: 30, capacity: 3, seed: 5 });
    const batch = randomBatch(config, workload, new SeededRandom(3));
    const resultsAt = (floats: number) => {
      const moved = (rows: Rows) => {
        const array = alignedRows(rows.length + floats, 1).subarray(floats);
        array.set(rows);
        return array;
      };
      const pool = createNativeBackend({ device: 'cpu', isa }).createPool(config);
      try {
        fillSlots(pool, range(3), new SeededRandom(4));
        const [x, target] = [moved(batch.x), moved(batch.target)];
        const y = moved(new Float32Array(x.length));
        pool.apply({ slots: workload.rowSlots, x }, y);
        const report = runUpdate(pool, { ...batch, x, target });
        return { y: Array.from(y), report, states: readStates(pool, range(3)) };
      } finally {
        pool.close();
      }
    };
    const expected = resultsAt(0);
    for (const floats of [1, 4, 15]) expect(resultsAt(floats), `${floats} floats on`).toEqual(expected);
  });
});
