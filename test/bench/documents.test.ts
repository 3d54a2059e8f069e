import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fillSections, sectionsOf } from '../../bench/src/documents.js';
import type { KernelRow } from '../../bench/src/kernel-suite.js';
import { describeMachine } from '../../bench/src/machine.js';
import type { RunRecord } from '../../bench/src/results.js';
import { root } from '../support/imports.js';

const streams = { read: 1, copy: 2.4, update: 3.6 };
const place = { dim: 64, rank: 4, n: 8 };
const row = {
  ...{ op: 'update', optimizer: 'sgd', ...place, isa: 'x', population: 'cached', users: 3 },
  ...{
    nsPerUser: 12345,
    jsRatio: 30,
    floorRatio: 1.234,
    peers: { blas: { ns: 600, ratio: 2 }, js: { ns: 9, ratio: 30 } },
  },
} as unknown as KernelRow;

const RECORD: RunRecord = {
  date: '2001-02-03T04:05:06.000Z',
  commit: '0123456789abcdef',
  command: 'npm run bench -- kernels facade --peers --docs',
  machine: { ...describeMachine(), cpu: 'a processor' },
  ceilings: { fma: { x: 262.4 }, bandwidth: { L1: streams, L2: streams, L3: streams, DRAM: streams } },
  rows: [row, { ...row, isa: 'js', nsPerUser: 1e6 }],
  facade: [
    {
      ...{ what: 'apply', dim: 64, rank: 4, backend: 'cpu', isa: 'x', per: 'call', ns: 190.4, spread: 0 },
      ...{ kernelNs: 34.56, overheadNs: 155.84, usersPerSecond: null },
    },
  ],
  scale: {
    isa: 'x',
    twoCores: [
      { op: 'update', ...place, users: 3, one: 100, two: 52, ratio: 100 / 52, medianRatio: 1.5, loadAverage: 0.71 },
    ],
    growth: (['in order', 'scattered'] as const).map((order) => ({
      ...{ op: 'update', ...place, users: 100_000, order, level: 'DRAM', spread: 0, bytesBeyondSlot: 39.6 },
      nsPerUser: order === 'scattered' ? 1800 : 1500,
    })),
    stateDtypes: [
      {
        ...{ op: 'update', ...place, users: 9, fp32: 1500, bf16: 1000, ratio: 1.5 },
        ...{ slotBytes: { fp32: 6144, bf16: 4096 }, bytesBeyondSlot: { fp32: 24, bf16: 23.96 } },
      },
    ],
    tables: [{ users: 10_000, bytesPerUser: 170.4 }],
    missing: {},
  },
  comparison: {
    isa: 'x',
    kernels: [{ op: 'update', ...place, users: 3, ours: 300, peers: { blas: { ns: 600, ratio: 2 } } }],
    publicApi: [{ what: 'apply', dim: 64, rank: 4, ours: 50, peers: { tool: { ns: 5000, ratio: 100 } } }],
    versions: { blas: '1.0' },
    missing: {},
    refused: {},
  },
};

describe('the documents', () => {
  it('get the figures of the run', () => {
    const sections = sectionsOf(RECORD);
    expect(sections.run).toContain('a processor, ');
    expect(sections.run).toContain('2001-02-03, commit `0123456`, `npm run bench -- kernels facade --peers --docs`.');
    expect(sections.summary).toContain('| 64/4 | 300 | 3 333 000 | 2.00 | 30 |');
    expect(sections.summary).toContain('| apply | 64/4 | 50.0 | 100 |');
    expect(sections.ceilings).toContain('x 262 GFLOP/s');
    expect(sections.ceilings).toContain('| DRAM | 1 | 2 | 4 |');
    expect(sections.kernels.split('\n').slice(2)).toEqual(['| update, SGD | cached | 64/4 | 12 345 · 1.23 · 30 |']);
    expect(sections.peers).toContain('| update | 64/4 | 8 | 300 | 2.00 | 30 |');
    expect(sections['public-api']).toContain('| apply | 64/4 | 50.0 | 5000 · 100 |');
    expect(sections['two-cores']).toContain('| update | 64/4 | 100 | 52.0 | 1.92 | 1.50 | 0.7 |');
    expect(sections.growth).toContain('| update | 64/4 | 8 | 100 000 | DRAM | 1500 | 1800 | 39.6 |');
    expect(sections.bf16).toContain('| 64/4 | 8 | 1500 | 1000 | 1.50 | 6144 | 4096 | 24.0 |');
    expect(sections.tables).toContain('| 10 000 | 170 |');
    expect(sections.facade).toContain('| apply | call | x | 190 | 34.6 | 156 |  |');
    expect(sections.versions).toBe('- blas: 1.0');
  });

  it('are not written from a run that has not measured it all', () => {
    for (const lacking of [{ comparison: undefined }, { scale: undefined }, { ceilings: null }, { facade: [] }]) {
      expect(() => sectionsOf({ ...RECORD, ...lacking })).toThrow('--docs: the run has no');
    }
  });

  it('keep everything but what stands between the marks', () => {
    const text = 'a\n<!-- bench:one -->\nold\n<!-- /bench -->\nb\n<!-- bench:two -->\n<!-- /bench -->\nc\n';
    const filled = fillSections(text, { one: '1 $1', two: '2' });
    expect(filled).toBe(
      'a\n<!-- bench:one -->\n\n1 $1\n\n<!-- /bench -->\nb\n<!-- bench:two -->\n\n2\n\n<!-- /bench -->\nc\n',
    );
    expect(fillSections(filled, { one: '1 $1', two: '2' })).toBe(filled);
    expect(() => fillSections(text, { one: '1' })).toThrow('<!-- bench:two -->: expected one of one');
  });

  it('have a place for every kind of figure', () => {
    const texts = ['README.md', 'docs/benchmarks.md'].map((name) => readFileSync(join(root, name), 'utf8'));
    const sections = sectionsOf(RECORD);
    const places = texts.flatMap((text) => [...text.matchAll(/<!-- bench:([\w-]+) -->/g)].map(([, name]) => name));
    expect([...new Set(places)].sort()).toEqual(Object.keys(sections).sort());
    for (const text of texts) fillSections(text, sections);
  });
});
