import { afterEach, describe, expect, it, vi } from 'vitest';
import { CheckedPool } from '../../bench/src/check.js';
import { runFacadeSuite } from '../../bench/src/facade-suite.js';
import { type KernelSettings, runKernelSuite, toRow } from '../../bench/src/kernel-suite.js';
import { cpuClock } from '../../bench/src/measure.js';
import { benchConfig } from '../../bench/src/population.js';
import type { KernelBackend } from '../../src/kernels/contract.js';
import { jsBackend } from '../../src/kernels/js.js';
import { createNativeBackend, nativeInfo } from '../../src/kernels/native.js';
import { MUTANTS, mutate } from '../../src/testing/mutants.js';

const CACHES = { L1: 2 ** 15, L2: 2 ** 16, L3: 2 ** 18 };
const CEILINGS = (() => {
  const streams = { read: 10, copy: 20, update: 30 };
  return { fma: { avx2: 100 }, bandwidth: { L1: streams, L2: streams, L3: streams, DRAM: streams } };
})();

const clock = vi.fn(cpuClock);
afterEach(() => clock.mockClear());

function settings(backends: readonly KernelBackend[]): KernelSettings {
  return {
    shapes: [{ dim: 24, rank: 3 }],
    rows: [1, 5],
    backends,
    caches: CACHES,
    memoryBytes: 2 ** 21,
    measure: { clock, sampleMs: 0.1, totalMs: 1 },
  };
}

describe('the kernel suite', () => {
  it('measures every operation, batch size, optimizer and population on every backend', async () => {
    const twin: KernelBackend = { ...jsBackend, device: 'twin' };
    const timings = await runKernelSuite(settings([twin, jsBackend]));
    expect(clock).toHaveBeenCalled();
    const combinations = timings.map(({ op, optimizer, n, population, isa }) =>
      [op, optimizer, n, population, isa].join(),
    );
    expect(combinations).toHaveLength(3 * 2 * 2 * 2);
    expect(new Set(combinations).size).toBe(combinations.length);
    for (const timing of timings) {
      expect(timing.nsPerUser).toBeGreaterThan(0);
      expect(timing.samples).toBeGreaterThanOrEqual(7);
      if (timing.isa === 'js') expect(timing.jsRatio).toBe(1);
      expect(timing.level).toBe(timing.population === 'cached' ? 'L2' : 'DRAM');
    }
    const [fast, js] = timings;
    expect(fast.jsRatio).toBeCloseTo(js.nsPerUser / fast.nsPerUser, 10);
  });

  it('sets a time against the ceilings', async () => {
    const [timing] = await runKernelSuite({ ...settings([jsBackend]), rows: [2] });
    const row = toRow({ ...timing, isa: 'avx2', nsPerUser: 1000 }, CEILINGS);
    // apply of 2 rows: P = 144
    expect(row.flops).toBe(4 * 2 * 3 * 24);
    expect(row.bytes).toBe(4 * 144 + 8 * 2 * 24);
    const memoryNs = (4 * 144) / 10 + (8 * 2 * 24) / 20;
    expect(row.floorNs).toBeCloseTo(memoryNs, 10);
    expect(row.floorRatio).toBeCloseTo(1000 / memoryNs, 10);
    expect(row.bandwidthShare).toBeCloseTo(memoryNs / 1000, 10);
    expect(row.fmaPeakShare).toBeCloseTo(5.76 / 1000, 10);
    expect(toRow(timing, null)).toMatchObject({ fmaPeakShare: null, bandwidthShare: null, floorRatio: null });
  });

  it.each([
    'scale divided instead of multiplied',
    'y with 13 significant bits',
    'gradient off by a factor',
    'anchor ignored',
  ])('refuses to time a kernel that is wrong: %s', async (name) => {
    const mutant = MUTANTS.find((candidate) => candidate.name === name);
    if (!mutant) return expect.fail(`there is no such mutant: ${name}`);
    await expect(runKernelSuite(settings([mutate(jsBackend, mutant), jsBackend]))).rejects.toThrow('refuses to time');
    expect(clock).not.toHaveBeenCalled();
  });

  it('stops when a step is rejected, which is less work', async () => {
    const rejecting: KernelBackend = {
      ...jsBackend,
      createPool: (config) => {
        const pool = jsBackend.createPool(config);
        const update = pool.update.bind(pool);
        pool.update = (batch, report) => {
          update(batch, report);
          if (!batch.learningRate) report.flags[0] |= 2; // not while it is checked
        };
        return pool;
      },
    };
    await expect(runKernelSuite(settings([rejecting]))).rejects.toThrow('the step of a user was rejected');
  });
});

describe('a checked pool', () => {
  it('is as it was before', () => {
    const pool = jsBackend.createPool(benchConfig({ dim: 16, rank: 2 }, 'adamw', 3));
    const slots = Uint32Array.of(0, 1, 2);
    const slabs = Float32Array.from({ length: 3 * pool.layout.slabLength }, (_, i) => (i % 7) / 8);
    pool.write(slots, slabs, Uint32Array.of(4, 5, 6));
    CheckedPool.check('js', pool, 4);
    const [after, steps] = [new Float32Array(slabs.length), new Uint32Array(3)];
    pool.read(slots, after, steps);
    expect(after).toEqual(slabs);
    expect(steps).toEqual(Uint32Array.of(4, 5, 6));
  });
});

describe('the facade suite', () => {
  const run = (backends: readonly KernelBackend[]) =>
    runFacadeSuite({
      shapes: [{ dim: 16, rank: 2 }],
      backends,
      caches: CACHES,
      kernelTimeNs: ({ operation }) => (operation === 'apply' ? 10 : 20),
      measure: { clock, sampleMs: 0.1, totalMs: 1 },
    });

  it('times calls, batches and the public pool', async () => {
    const rows = await run([jsBackend]);
    expect(rows.map(({ what }) => what.split(',')[0])).toEqual([
      'apply',
      'apply',
      'apply',
      'update',
      'pool.learn',
      'pool.learn',
      'pool.learn',
      'engine.computeLoRAForward',
      'engine.updateAdapter',
      'engine.updateAdapter',
      'pool.personalize',
    ]);
    for (const { ns, kernelNs, overheadNs } of rows) {
      expect(ns).toBeGreaterThan(0);
      expect([kernelNs, overheadNs]).toEqual([null, null]); // there is no js kernel to call from C
    }
  });

  it.runIf(nativeInfo().available)('sets native calls against the kernel itself', async () => {
    const rows = await run([createNativeBackend({ device: 'cpu' })]);
    expect(rows.map(({ kernelNs }) => kernelNs)).toEqual([null, 10, 10, 20, 20, null, 20, 10, 20, 20, 10]);
    for (const { ns, kernelNs, overheadNs } of rows) expect(overheadNs).toBe(kernelNs && ns - kernelNs);
  });

  it('refuses to time a kernel that is wrong', async () => {
    await expect(run([mutate(jsBackend, MUTANTS[0])])).rejects.toThrow('refuses to time');
    expect(clock).not.toHaveBeenCalled();
  });
});
