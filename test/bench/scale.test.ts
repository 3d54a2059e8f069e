import { describe, expect, it } from 'vitest';
import { timeGrowth } from '../../bench/src/scale/growth.js';
import { timeStateDtypes } from '../../bench/src/scale/state-dtype.js';
import { measureTables } from '../../bench/src/scale/table-memory.js';
import { scaleTables } from '../../bench/src/scale/tables.js';
import { timesInTurn, timeTwoCores } from '../../bench/src/scale/two-cores.js';
import { jsBackend } from '../../src/kernels/js.js';

const SHAPE = { dim: 16, rank: 2 };
const CACHES = { L1: 2 ** 15, L2: 2 ** 16, L3: 2 ** 18 };

describe('two threads against one', () => {
  it('take turns, and are compared by the fastest and the median call', () => {
    let now = 0;
    const body = (...durations: number[]) => {
      let call = 0;
      return () => {
        now += durations[call++ % durations.length];
      };
    };
    const [one, two] = timesInTurn([body(9, 4, 6, 5), body(9, 3, 2, 2)], 3, () => now);
    expect(one).toEqual([4, 5, 6]);
    expect(two).toEqual([2, 2, 3]);
  });

  it('compute the same work', () => {
    let now = 0;
    const rows = timeTwoCores(jsBackend, { shapes: [SHAPE], caches: CACHES, calls: 3, clock: () => now++ });
    expect(rows.map(({ op }) => op)).toEqual(['apply', 'update']);
    for (const row of rows) expect(row).toMatchObject({ ...SHAPE, n: 64, ratio: 1, medianRatio: 1 });
  });
});

describe('growth', () => {
  it('is measured for every number of users that fits, in order and scattered, with the memory beyond the slots', async () => {
    const slot = 4 * 3 * 2 * SHAPE.dim * SHAPE.rank;
    const rows = await timeGrowth(jsBackend, {
      shape: SHAPE,
      users: [10, 1000, 5000],
      caches: CACHES,
      memoryBytes: 4000 * slot,
      measure: { sampleMs: 0.1, totalMs: 1 },
    });
    expect(rows.map(({ op, users, order, level }) => `${op} ${users} ${order} ${level}`)).toEqual([
      'apply 10 in order L2',
      'apply 10 scattered L2',
      'update 10 in order L2',
      'update 10 scattered L2',
      // of a user, apply touches 256 bytes of weights and 128 of rows
      'apply 1000 in order DRAM',
      'apply 1000 scattered DRAM',
      'update 1000 in order DRAM',
      'update 1000 scattered DRAM',
    ]);
    // what the js backend tells of itself
    for (const { bytesBeyondSlot } of rows) expect(bytesBeyondSlot).toBe(0);
    for (const { nsPerUser } of rows) expect(nsPerUser).toBeGreaterThan(0);
  });
});

describe('bf16 against single precision', () => {
  it('is an update of the same users in both, checked', async () => {
    const measured = { sampleMs: 0.1, totalMs: 1 };
    const settings = { shapes: [SHAPE], rows: [1, 3], caches: CACHES, memoryBytes: 2 ** 20, measure: measured };
    const rows = await timeStateDtypes(jsBackend, settings);
    expect(rows.map(({ n }) => n)).toEqual([1, 3]);
    for (const row of rows) {
      expect(row).toMatchObject({ ...SHAPE, op: 'update', slotBytes: { fp32: 768, bf16: 512 } });
      expect(row.ratio).toBeCloseTo(row.fp32 / row.bf16, 10);
    }
  });
});

describe('the tables of a pool', () => {
  it('grow by something like the fields of a user', async () => {
    const [{ users, bytesPerUser }] = await measureTables([5000]);
    expect(users).toBe(5000);
    // twelve numbers of eight bytes at least
    expect(bytesPerUser).toBeGreaterThan(96);
    expect(bytesPerUser).toBeLessThan(2000);
  });
});

describe('the tables of the scale', () => {
  it('say what was not measured', () => {
    const nothing = { isa: 'js', growth: [], stateDtypes: [], tables: [], twoCores: [] };
    expect(scaleTables({ ...nothing, missing: { 'two cores': 'one core here' } })).toBe(
      'Not measured\n  two cores: one core here',
    );
  });
});
