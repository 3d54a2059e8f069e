/** The comparison as text. A peer's cell is its time over ours: above 1 it is slower. */
import type { KernelRow } from '../kernel-suite.js';
import { formatTable } from '../table.js';
import type { Comparison } from './comparison.js';
import type { PeerTime } from './kernel-peers.js';

const figure = (ns: number): string => ns.toFixed(ns < 100 ? 1 : 0);
const factor = (ratio: number): string => ratio.toFixed(ratio < 10 ? 2 : ratio < 100 ? 1 : 0);

export function comparisonTables(comparison: Comparison, rows: readonly KernelRow[]): string {
  const { isa, kernels, publicApi, versions, missing, refused } = comparison;
  const js = (timing: { op: string; dim: number; rank: number; n: number }): Record<string, PeerTime> => {
    const row = rows.find(
      ({ op, dim, rank, n, peers }) =>
        peers && op === timing.op && dim === timing.dim && rank === timing.rank && n === timing.n,
    );
    return row?.peers ?? {};
  };
  const parts: string[] = [];
  if (kernels.length > 0) {
    const title = `Times over those of ours (${isa}): cached users, SGD with EWC, one core, called from C; js from the table above`;
    const timings = kernels.map((timing) => ({
      cells: [timing.op, `${timing.dim}/${timing.rank}`, String(timing.n)],
      ours: timing.ours,
      peers: { ...timing.peers, ...js(timing) },
    }));
    parts.push(`${title}\n${ratioTable(['<op', '<dim/rank', 'n'], 'ours, ns/user', timings)}`);
  }
  if (publicApi.length > 0) {
    const title = `Times over those of ours (lorakeet: ${versions.lorakeet}) through the public API: CPU time per vector or user`;
    const timings = publicApi.map(({ what, dim, rank, ours, peers }) => ({
      cells: [what, `${dim}/${rank}`],
      ours,
      peers,
    }));
    parts.push(`${title}\n${ratioTable(['<what', '<dim/rank'], 'ours, ns', timings)}`);
  }
  const list = (what: string, entries: Record<string, string>): void => {
    const lines = Object.entries(entries).map(([name, text]) => `  ${name}: ${text}`);
    if (lines.length > 0) parts.push([what, ...lines].join('\n'));
  };
  list('Versions', versions);
  list('Not measured', missing);
  list('Refused', refused);
  return parts.join('\n\n');
}

interface RatioRow {
  cells: string[];
  ours: number;
  peers: Record<string, PeerTime>;
}

export function ratioTable(header: readonly string[], ours: string, rows: readonly RatioRow[]): string {
  const names = [...new Set(rows.flatMap(({ peers }) => Object.keys(peers)))];
  return formatTable(
    [...header, ours, ...names],
    rows.map((row) => [
      ...row.cells,
      figure(row.ours),
      ...names.map((name) => (row.peers[name] ? factor(row.peers[name].ratio) : '')),
    ]),
  );
}
