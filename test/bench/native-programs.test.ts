import { describe, expect, it } from 'vitest';
import { describeMachine } from '../../bench/src/machine.js';
import { buildNativePrograms } from '../../bench/src/native-programs.js';
import { timePeers } from '../../bench/src/peers/kernel-peers.js';
import { buildPeers, openPeers } from '../../bench/src/peers/native-peers.js';
import { nativeInfo } from '../../src/kernels/native.js';
import { isRequired } from '../support/coverage-report.js';
import { root } from '../support/imports.js';

describe('the native programs', () => {
  it('are done without where the addon was not built, and say so', () => {
    expect(buildNativePrograms('no-such-folder')).toBe('the native addon was not built here');
  });

  it('measure every ceiling, and a kernel for every instruction set', { timeout: 180_000 }, (test) => {
    const programs = buildNativePrograms(root);
    if (typeof programs === 'string') {
      expect(isRequired('cpu'), `LORAKEET_REQUIRE lists cpu, but: ${programs}`).toBe(false);
      return test.skip(programs);
    }
    const { fma, bandwidth } = programs.ceilings(describeMachine().caches);
    const isas = Object.keys(fma);
    if (nativeInfo().available) expect(isas).toEqual(nativeInfo().isas);
    expect(isas).toContain('baseline');
    expect(Object.keys(bandwidth)).toEqual(['L1', 'L2', 'L3', 'DRAM']);
    const figures = [fma, ...Object.values(bandwidth)].flatMap((group) => Object.values(group));
    expect(figures.filter((figure) => !(figure > 0 && Number.isFinite(figure)))).toEqual([]);

    for (const isa of isas) {
      for (const operation of ['apply', 'update'] as const) {
        const kernel = { isa, operation, optimizer: 'adamw', dim: 20, rank: 3, users: 4, rows: 2 } as const;
        expect(programs.kernelTimeNs(kernel)).toBeGreaterThan(0);
      }
    }
    const unknown = { isa: 'sse9', operation: 'apply', optimizer: 'sgd', dim: 8, rank: 1, users: 1, rows: 1 } as const;
    expect(() => programs.kernelTimeNs(unknown)).toThrow('usage');
  });
});

describe('the native peers', () => {
  it('are done without where the addon was not built', async () => {
    expect(buildPeers('no-such-folder')).toEqual({ reason: 'the native addon was not built here' });
    const { peers, missing } = await openPeers('no-such-folder', 'avx2');
    expect(peers).toEqual([]);
    expect(missing).toMatchObject({ naive: 'the native addon was not built here' });
  });

  it('compute what the kernels compute', { timeout: 180_000 }, async (test) => {
    const isa = nativeInfo().isas[0] ?? null;
    const { peers, missing, close } = await openPeers(root, isa);
    try {
      if ('naive' in missing) return test.skip(missing.naive);
      const problems = { shapes: [{ dim: 40, rank: 3 }], rows: [1, 4], users: () => 2 };
      const { timings, refused } = await timePeers(peers, problems);
      expect(refused).toEqual({});
      for (const timing of timings) {
        for (const { label } of peers) expect(timing.peers[label].ratio).toBeGreaterThan(0);
      }
    } finally {
      await close();
    }
  });
});
