/** What scale.ts measures, as text. */
import { formatTable } from '../table.js';
import type { GrowthRow } from './growth.js';
import type { Scale } from './scale.js';
import type { StateDtypeRow } from './state-dtype.js';
import type { TableMemoryRow } from './table-memory.js';
import type { TwoCoresRow } from './two-cores.js';

const figure = (ns: number): string => ns.toFixed(ns < 100 ? 1 : 0);

export function scaleTables({ growth, stateDtypes, tables, twoCores, missing }: Scale): string {
  const parts: string[] = [];
  if (growth.length > 0) parts.push(`Growth, streaming, CPU time\n${growthTable(growth)}`);
  if (stateDtypes.length > 0)
    parts.push(`Fisher and anchor in bf16, update, streaming, CPU time\n${stateDtypeTable(stateDtypes)}`);
  if (tables.length > 0) parts.push(`What an AdapterPool keeps beside its slots\n${tableMemoryTable(tables)}`);
  if (twoCores.length > 0)
    parts.push(`Two threads against one, wall time of the fastest calls\n${twoCoresTable(twoCores)}`);
  const reasons = Object.entries(missing).map(([name, text]) => `  ${name}: ${text}`);
  if (reasons.length > 0) parts.push(['Not measured', ...reasons].join('\n'));
  return parts.join('\n\n');
}

function twoCoresTable(rows: readonly TwoCoresRow[]): string {
  return formatTable(
    ['<op', '<dim/rank', 'n', 'users', 'one, ns/user', 'two, ns/user', 'ratio', 'of medians', 'load'],
    rows.map(({ op, dim, rank, n, users, one, two, ratio, medianRatio, loadAverage }) => [
      op,
      `${dim}/${rank}`,
      String(n),
      String(users),
      figure(one),
      figure(two),
      ratio.toFixed(2),
      medianRatio.toFixed(2),
      loadAverage.toFixed(1),
    ]),
  );
}

function growthTable(rows: readonly GrowthRow[]): string {
  return formatTable(
    ['<op', '<dim/rank', 'n', 'users', '<in', '<order', 'ns/user', '±', 'bytes beyond the slot'],
    rows.map(({ op, dim, rank, n, users, level, order, nsPerUser, spread, bytesBeyondSlot }) => [
      op,
      `${dim}/${rank}`,
      String(n),
      String(users),
      level,
      order,
      figure(nsPerUser),
      `${Math.round(100 * spread)} %`,
      bytesBeyondSlot.toFixed(1),
    ]),
  );
}

function stateDtypeTable(rows: readonly StateDtypeRow[]): string {
  return formatTable(
    ['<dim/rank', 'n', 'users', 'fp32, ns/user', 'bf16, ns/user', 'ratio', 'slot', 'in bf16', 'bytes beyond it'],
    rows.map(({ dim, rank, n, users, fp32, bf16, ratio, slotBytes, bytesBeyondSlot }) => [
      `${dim}/${rank}`,
      String(n),
      String(users),
      figure(fp32),
      figure(bf16),
      ratio.toFixed(2),
      String(slotBytes.fp32),
      String(slotBytes.bf16),
      bytesBeyondSlot.bf16.toFixed(1),
    ]),
  );
}

function tableMemoryTable(rows: readonly TableMemoryRow[]): string {
  return formatTable(
    ['users', 'bytes per user'],
    rows.map(({ users, bytesPerUser }) => [String(users), bytesPerUser.toFixed(0)]),
  );
}
