/** `--docs`: the figures of a run, into the marked places of README.md and docs/benchmarks.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FacadeRow } from './facade-suite.js';
import type { KernelRow } from './kernel-suite.js';
import type { Ceilings } from './model.js';
import type { Comparison } from './peers/comparison.js';
import type { PeerTime } from './peers/kernel-peers.js';
import type { RunRecord } from './results.js';
import type { GrowthRow } from './scale/growth.js';
import type { Scale } from './scale/scale.js';

/** Throws an Error where the run has not measured everything, or a document lacks a place. */
export function writeDocuments(root: string, record: RunRecord): void {
  const sections = sectionsOf(record);
  const texts = ['README.md', 'docs/benchmarks.md'].map((name) => {
    const file = join(root, name);
    return { file, text: fillSections(readFileSync(file, 'utf8'), sections) };
  });
  for (const { file, text } of texts) writeFileSync(file, text);
}

/** Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench -->`. */
export function fillSections(text: string, sections: Record<string, string>): string {
  return text.replace(/(<!-- bench:([\w-]+) -->\n)[\s\S]*?(<!-- \/bench -->)/g, (_, start, name, end) => {
    if (!(name in sections))
      throw new Error(`<!-- bench:${name} -->: expected one of ${Object.keys(sections).join(', ')}`);
    return `${start}\n${sections[name]}\n\n${end}`;
  });
}

export function sectionsOf(record: RunRecord): Record<string, string> {
  const { ceilings, rows, facade, scale, comparison } = record;
  if (!ceilings || !scale || !comparison || facade.length === 0) {
    throw new Error('--docs: the run has no ceilings, no whole kernels suite, no comparison or no facade suite');
  }
  return {
    run: runOf(record),
    summary: summaryTable(rows, comparison),
    ceilings: ceilingsTable(ceilings),
    kernels: kernelTable(rows, comparison.isa),
    peers: peersTable(rows, comparison),
    versions: list(comparison.versions),
    'public-api': publicApiTable(comparison),
    ...scaleSections(scale),
    facade: facadeTable(facade),
  };
}

export function scaleSections(scale: Scale): Record<string, string> {
  return {
    growth: growthTable(scale),
    bf16: stateDtypeTable(scale),
    tables: tablesTable(scale),
    'two-cores': twoCoresTable(scale),
  };
}

const figure = (ns: number): string => {
  const text = ns.toFixed(ns < 10 ? 2 : ns < 100 ? 1 : 0);
  return ns < 10_000 ? text : text.replace(/\B(?=(\d{3})+$)/g, ' ');
};
const factor = (ratio: number): string => ratio.toFixed(ratio < 10 ? 2 : 0);

/** Columns whose header begins with '<' are aligned left, all others right. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const names = header.map((name) => name.replace('<', ''));
  return [
    line(names),
    `|${header.map((name) => (name.startsWith('<') ? '---|' : '---:|')).join('')}`,
    ...rows.map(line),
  ].join('\n');
}

function list(entries: Record<string, string>): string {
  return Object.entries(entries)
    .map(([name, text]) => `- ${name}: ${text}`)
    .join('\n');
}

export function runOf({
  date,
  commit,
  command,
  machine,
}: Pick<RunRecord, 'date' | 'commit' | 'command' | 'machine'>): string {
  const { cpu, cores, platform, node } = machine;
  return `${cpu}, ${cores} cores, ${platform}, Node ${node}, ${date.slice(0, 10)}, commit \`${commit.slice(0, 7)}\`, \`${command}\`.`;
}

/** Updates of cached users with 8 rows each: what a reader wants to know first. */
function summaryTable(rows: readonly KernelRow[], { isa, kernels, publicApi }: Comparison): string {
  const updates = kernels.filter(({ op, n }) => op === 'update' && n === 8);
  const names = columns(updates);
  const shapes = updates.map(({ dim, rank, ours, peers }) => {
    const row = rows.find(
      (each) =>
        each.isa === isa &&
        each.op === 'update' &&
        each.optimizer === 'sgd' &&
        each.population === 'cached' &&
        each.n === 8 &&
        each.dim === dim &&
        each.rank === rank,
    );
    const all: Record<string, PeerTime> = { ...peers, ...row?.peers };
    return [
      `${dim}/${rank}`,
      figure(ours),
      Math.round(1e9 / ours / 1000) * 1000,
      ...[...names, 'js'].map((name) => (all[name] ? factor(all[name].ratio) : '')),
    ].map(String);
  });
  const kernelTable = table(
    ['<update, 8 rows, dim/rank', 'ns', 'users/s on one core', ...names, 'plain JS'],
    shapes.map(([shape, ns, perSecond, ...ratios]) => [shape, ns, figure(Number(perSecond)), ...ratios]),
  );
  const packages = columns(publicApi);
  const api = publicApi.map(({ what, dim, rank, ours, peers }) => [
    what,
    `${dim}/${rank}`,
    figure(ours),
    ...packages.map((name) => (peers[name] ? factor(peers[name].ratio) : '')),
  ]);
  return `${kernelTable}\n\n${table(['<public API', '<dim/rank', 'ns', ...packages], api)}`;
}

const columns = (rows: readonly { peers: Record<string, PeerTime> }[]): string[] => [
  ...new Set(rows.flatMap(({ peers }) => Object.keys(peers))),
];

function ceilingsTable({ fma, bandwidth }: Ceilings): string {
  const peaks = Object.entries(fma).map(([isa, gflops]) => `${isa} ${gflops.toFixed(0)}`);
  const levels = Object.entries(bandwidth).map(([level, { read, copy, update }]) => [
    level,
    ...[read, copy, update].map((gbps) => gbps.toFixed(0)),
  ]);
  const streams = table(['<', 'read', 'copy', 'update'], levels);
  return `FMA peak: ${peaks.join(', ')} GFLOP/s. Bandwidth in GB/s:\n\n${streams}`;
}

function kernelTable(rows: readonly KernelRow[], isa: string): string {
  const counts = [...new Set(rows.map(({ n }) => n))];
  const groups = new Map<string, KernelRow[]>();
  for (const row of rows.filter((each) => each.isa === isa)) {
    const { op, optimizer, population, dim, rank } = row;
    const what = optimizer === null ? op : `${op}, ${optimizer === 'sgd' ? 'SGD' : 'AdamW'}`;
    const key = [what, population, `${dim}/${rank}`].join('|');
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const lines = [...groups].map(([key, group]) => [
    ...key.split('|'),
    ...counts.map((count) => {
      const row = group.find(({ n }) => n === count);
      return row ? `${figure(row.nsPerUser)} · ${factor(row.floorRatio ?? Number.NaN)} · ${factor(row.jsRatio)}` : '';
    }),
  ]);
  const order = ['apply', 'update, SGD', 'update, AdamW'];
  const rankOf = ([what, population]: readonly string[]): number =>
    2 * order.indexOf(what) + (population === 'cached' ? 0 : 1);
  lines.sort((a, b) => rankOf(a) - rankOf(b));
  return table(['<', '<users', '<dim/rank', ...counts.map((n) => `n = ${n}`)], lines);
}

function peersTable(rows: readonly KernelRow[], { isa, kernels }: Comparison): string {
  const names = columns(kernels);
  return table(
    ['<', '<dim/rank', 'n', `lorakeet ${isa}, ns`, ...names, 'plain JS'],
    kernels.map(({ op, dim, rank, n, ours, peers }) => {
      const same = rows.find(
        (row) => row.peers?.js && row.op === op && row.dim === dim && row.rank === rank && row.n === n,
      );
      const all: Record<string, PeerTime> = { ...peers, ...same?.peers };
      const ratios = [...names, 'js'].map((name) => (all[name] ? factor(all[name].ratio) : ''));
      return [op, `${dim}/${rank}`, String(n), figure(ours), ...ratios];
    }),
  );
}

function publicApiTable({ publicApi }: Comparison): string {
  const names = columns(publicApi);
  return table(
    ['<', '<dim/rank', 'lorakeet, ns', ...names],
    publicApi.map(({ what, dim, rank, ours, peers }) => [
      what,
      `${dim}/${rank}`,
      figure(ours),
      ...names.map((name) => (peers[name] ? `${figure(peers[name].ns)} · ${factor(peers[name].ratio)}` : '')),
    ]),
  );
}

function twoCoresTable({ twoCores }: Scale): string {
  return table(
    ['<', '<dim/rank', 'one, ns/user', 'two, ns/user', 'fastest', 'medians', 'load average'],
    twoCores.map(({ op, dim, rank, one, two, ratio, medianRatio, loadAverage }) => [
      op,
      `${dim}/${rank}`,
      figure(one),
      figure(two),
      factor(ratio),
      factor(medianRatio),
      loadAverage.toFixed(1),
    ]),
  );
}

function growthTable({ growth }: Scale): string {
  const inOrder = growth.filter(({ order }) => order === 'in order');
  const nsOf = (row: GrowthRow, order: GrowthRow['order']): string => {
    const found = growth.find((other) => other.op === row.op && other.users === row.users && other.order === order);
    return found ? figure(found.nsPerUser) : '';
  };
  return table(
    [
      '<',
      '<dim/rank',
      'n',
      'users',
      '<in',
      'in order, ns/user',
      'scattered, ns/user',
      'bytes per user beyond the slot',
    ],
    inOrder.map((row) => [
      row.op,
      `${row.dim}/${row.rank}`,
      String(row.n),
      figure(row.users),
      row.level,
      nsOf(row, 'in order'),
      nsOf(row, 'scattered'),
      row.bytesBeyondSlot.toFixed(1),
    ]),
  );
}

function stateDtypeTable({ stateDtypes }: Scale): string {
  return table(
    ['<dim/rank', 'n', 'fp32, ns/user', 'bf16, ns/user', 'ratio', 'slot, bytes', 'in bf16', 'beyond it'],
    stateDtypes.map(({ dim, rank, n, fp32, bf16, ratio, slotBytes, bytesBeyondSlot }) => [
      `${dim}/${rank}`,
      String(n),
      figure(fp32),
      figure(bf16),
      factor(ratio),
      figure(slotBytes.fp32),
      figure(slotBytes.bf16),
      bytesBeyondSlot.bf16.toFixed(1),
    ]),
  );
}

function tablesTable({ tables }: Scale): string {
  return table(
    ['users', 'bytes per user'],
    tables.map(({ users, bytesPerUser }) => [figure(users), bytesPerUser.toFixed(0)]),
  );
}

/** The smallest shape, where the way to the kernel counts most. */
function facadeTable(rows: readonly FacadeRow[]): string {
  const [{ dim, rank }] = rows;
  return table(
    ['<', '<per', '<backend', 'ns', 'kernel ns', 'overhead ns', 'users/s'],
    rows
      .filter((row) => row.dim === dim && row.rank === rank)
      .map(({ what, per, isa, ns, kernelNs, overheadNs, usersPerSecond }) => [
        what,
        per,
        isa,
        figure(ns),
        kernelNs === null ? '' : figure(kernelNs),
        overheadNs === null ? '' : overheadNs.toFixed(Math.abs(overheadNs) < 100 ? 1 : 0),
        usersPerSecond === null ? '' : figure(Math.round(usersPerSecond)),
      ]),
  );
}
