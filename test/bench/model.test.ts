import { describe, expect, it } from 'vitest';
import { betterOf, type Ceilings, floorOf, type Operation, type Optimizer, workOf } from '../../bench/src/model.js';

/** One core of an AVX-512 server of 2023 and an H200, whose floors were worked out by hand; GFLOP/s and GB/s. */
const CORE = ceilings(118, 52);
const H200 = ceilings(67e3, 4.3e3);

function ceilings(gflops: number, gbps: number): Ceilings {
  const streams = { read: gbps, copy: gbps, update: gbps };
  return { fma: { fastest: gflops }, bandwidth: { L1: streams, L2: streams, L3: streams, DRAM: streams } };
}

function floorNs(machine: Ceilings, op: Operation, shape: string, rows: number, optimizer: Optimizer = 'sgd'): number {
  const [dim, rank] = shape.split('/').map(Number);
  return floorOf(workOf(op, { dim, rank }, rows, optimizer), machine, 'fastest', 'DRAM').floorNs;
}

describe('the work of a kernel', () => {
  it('is the documented number of flops and bytes', () => {
    const shape = { dim: 128, rank: 8 };
    expect(workOf('update', shape, 8, 'sgd')).toEqual({
      flops: 10 * 8 * 8 * 128 + 12 * 2048,
      bytes: { update: 20 * 2048 + 8 * 8 * 128 },
    });
    expect(workOf('update', shape, 8, 'adamw').bytes).toEqual({ update: 36 * 2048 + 8 * 8 * 128 });
    expect(workOf('apply', shape, 1, 'sgd')).toEqual({ flops: 4 * 8 * 128, bytes: { read: 4 * 2048, copy: 8 * 128 } });
    expect(workOf('apply', shape, 8, 'sgd')).toEqual({
      flops: 8 * 4 * 8 * 128,
      bytes: { read: 4 * 2048, copy: 8 * 8 * 128 },
    });
  });
});

describe('floors', () => {
  it.each([
    ['64/4', 207, 276, 1441],
    ['128/8', 807, 945, 5762],
    ['384/8', 2422, 2836, 17287],
    ['768/16', 9570, 10830, 69146],
    ['1536/16', 19141, 21660, 138292],
  ])('of an update with SGD are the known ones: %s', (shape, ...known) => {
    expect([1, 8, 64].map((rows) => Math.round(floorNs(CORE, 'update', shape, rows)))).toEqual(known);
  });

  it.each([
    ['64/4', 300, 1680],
    ['128/8', 87, 467],
    ['384/8', 29, 156],
    ['768/16', 8, 41],
    ['1536/16', 4, 21],
  ])('of a GPU are the known ones, in millions a second: %s', (shape, updates, applications) => {
    expect(1e3 / floorNs(H200, 'update', shape, 8) / updates).toBeCloseTo(1, 1);
    expect(1e3 / floorNs(H200, 'apply', shape, 1) / applications).toBeCloseTo(1, 1);
  });

  it('are the larger of computing and moving, each at its own ceiling', () => {
    const machine = ceilings(100, 10);
    machine.fma.slow = 1;
    machine.bandwidth.L2 = { read: 100, copy: 1, update: 50 };
    const apply = workOf('apply', { dim: 64, rank: 4 }, 1, 'sgd');
    expect(floorOf(apply, machine, 'fastest', 'L2')).toEqual({
      computeNs: 10.24,
      memoryNs: 2048 / 100 + 512 / 1,
      floorNs: 532.48,
    });
    expect(floorOf(apply, machine, 'slow', 'L2').floorNs).toBe(1024);
    expect(floorOf(apply, machine, 'js', 'L2').computeNs).toBe(10.24); // an unknown one is held to the fastest
  });

  it('stand on the better of two measurements', () => {
    const [a, b] = [ceilings(100, 10), ceilings(90, 20)];
    b.bandwidth.L3 = { read: 5, copy: 11, update: 9 };
    const best = betterOf(a, b);
    expect(best.fma).toEqual({ fastest: 100 });
    expect(best.bandwidth.DRAM).toEqual({ read: 20, copy: 20, update: 20 });
    expect(best.bandwidth.L3).toEqual({ read: 10, copy: 11, update: 10 });
  });
});
