/** Aligned text tables. */
import type { FacadeRow } from './facade-suite.js';
import type { KernelRow } from './kernel-suite.js';
import type { Ceilings } from './model.js';

/** Columns whose header begins with '<' are aligned left, all others right. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, i) => Math.max(name.replace('<', '').length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (header[i].startsWith('<') ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return [header.map((name) => name.replace('<', '')), widths.map((width) => '-'.repeat(width)), ...rows]
    .map(line)
    .join('\n');
}

const number = (value: number, digits = 0): string => value.toFixed(digits);
const ns = (value: number | null): string => (value === null ? '' : number(value, Math.abs(value) < 100 ? 1 : 0));
const percent = (share: number | null): string => (share === null ? '' : `${number(100 * share)} %`);
const factor = (value: number | null): string => (value === null ? '' : number(value, Math.abs(value) < 100 ? 2 : 0));

export function kernelTable(rows: readonly KernelRow[]): string {
  const header = ['<op', '<optimizer', '<dim/rank', 'n', '<users', '<in', '<backend', 'ns/user', '±'];
  return formatTable(
    [...header, 'FMA', 'memory', 'floor', '× floor', '× js'],
    rows.map((row) => [
      row.op,
      row.optimizer ?? '',
      `${row.dim}/${row.rank}`,
      String(row.n),
      row.population,
      row.level,
      backendName(row),
      ns(row.nsPerUser),
      percent(row.spread),
      percent(row.fmaPeakShare),
      percent(row.bandwidthShare),
      ns(row.floorNs),
      factor(row.floorRatio),
      factor(row.jsRatio),
    ]),
  );
}

export function facadeTable(rows: readonly FacadeRow[]): string {
  return formatTable(
    ['<what', '<dim/rank', '<backend', '<per', 'ns', '±', 'kernel ns', 'overhead ns', 'users/s'],
    rows.map((row) => [
      row.what,
      `${row.dim}/${row.rank}`,
      backendName(row),
      row.per,
      ns(row.ns),
      percent(row.spread),
      ns(row.kernelNs),
      ns(row.overheadNs),
      row.usersPerSecond === null ? '' : number(row.usersPerSecond),
    ]),
  );
}

export function ceilingsTable({ fma, bandwidth }: Ceilings): string {
  const peaks = Object.entries(fma).map(([isa, gflops]) => `${isa} ${number(gflops)}`);
  const levels = Object.entries(bandwidth).map(([level, { read, copy, update }]) => [
    level,
    ...[read, copy, update].map((gbps) => number(gbps)),
  ]);
  return `FMA peak, GFLOP/s: ${peaks.join(', ')}\n${formatTable(['<GB/s', 'read', 'copy', 'update'], levels)}`;
}

function backendName({ backend, isa }: { backend: string; isa: string }): string {
  return backend === isa ? backend : `${backend} ${isa}`;
}
