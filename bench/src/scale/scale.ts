/** Everything that is about many users and more than one core; part of a whole run of the kernels suite. */
import { freemem } from 'node:os';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import type { Machine } from '../machine.js';
import type { Shape } from '../model.js';
import { type GrowthRow, timeGrowth } from './growth.js';
import { type StateDtypeRow, timeStateDtypes } from './state-dtype.js';
import { measureTables, type TableMemoryRow } from './table-memory.js';
import { type TwoCoresRow, timeTwoCores } from './two-cores.js';

export interface Scale {
  /** Instruction set, or 'js'. */
  isa: string;
  growth: GrowthRow[];
  stateDtypes: StateDtypeRow[];
  /** Beside the slots; those are in `growth` and `stateDtypes`. */
  tables: TableMemoryRow[];
  twoCores: TwoCoresRow[];
  /** What could not be measured, and why. */
  missing: Record<string, string>;
}

/** 24 KB a slot. */
const GROWTH_SHAPE = { dim: 128, rank: 8 };
const GROWTH_USERS = [1_000, 3_000, 10_000, 30_000, 100_000];
const TABLE_USERS = [10_000, 100_000];

export async function measureScale(
  backend: KernelBackend,
  { caches, cores }: Machine,
  shapes: readonly Shape[],
  onProgress: (what: string) => void,
): Promise<Scale> {
  const native = backend.name === 'cpu';
  const missing: Record<string, string> = {};
  const memoryBytes = freemem() / 2;
  // first, while there is no other memory whose end would be counted
  const tables = native ? await measureTables(TABLE_USERS) : [];
  onProgress('growth');
  const growth = await timeGrowth(backend, { shape: GROWTH_SHAPE, users: GROWTH_USERS, caches, memoryBytes });
  onProgress('bf16');
  const stateDtypes = native ? await timeStateDtypes(backend, { shapes, rows: [1, 8], caches, memoryBytes }) : [];
  if (!native) missing['bf16 and tables'] = 'plain JavaScript keeps everything in single precision';
  const enoughCores = native && cores > 1;
  if (!enoughCores) missing['two cores'] = native ? 'one core here' : 'plain JavaScript runs on one';
  if (enoughCores) onProgress('two cores against one');
  const twoCores = enoughCores ? timeTwoCores(backend, { shapes, caches }) : [];
  return { isa: backend.device, growth, stateDtypes, tables, twoCores, missing };
}
