/**
 * Merges of many adapters of one large module, against the naive way: every ΔW dense, and numpy's SVD of the sum. Both must
 * leave out the same at the same rank before anything is reported.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LoraModule, LoraModules } from '#lorakeet/adapter/lora-module.js';
import { Random } from '#lorakeet/adapter/random.js';
import { denseKernels } from '#lorakeet/kernels/dense.js';
import {
  average,
  concatenate,
  dareLinear,
  type MergeResult,
  precisionAverage,
  ties,
  tsv,
} from '#lorakeet/merge/index.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export interface MergeSize {
  adapters: number;
  rank: number;
  dim: number;
  rounds: number;
}

export interface MergeRow {
  what: string;
  /** Where the arithmetic was done. */
  on: string;
  /** Medians, in ms. CPU time is that of all threads. */
  wallMs: number;
  cpuMs: number;
  residual: number | null;
}

interface NumpyAnswer {
  numpy: string;
  sum: { wall: number; cpu: number };
  svd: { wall: number; cpu: number };
  ties: { wall: number; cpu: number };
  residual: number;
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const flags = { adapters: '32', rank: '16', dim: '4096', rounds: '5' };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [name, { type: 'string', default: value }]),
  );
  let values: Record<string, unknown>;
  try {
    ({ values } = parseArgs({ args: [...args], options: { ...options, python: { type: 'string' } } as never }));
  } catch (error) {
    throw new UsageError(`${(error as Error).message}; flags: --adapters, --rank, --dim, --rounds, --python FILE`);
  }
  const size = Object.fromEntries(Object.keys(flags).map((name) => [name, requireCount(name, values[name])]));
  const python = (values.python as string | undefined) ?? process.env.LORAKEET_PYTHON ?? 'python3';
  const figures = runMerges(size as unknown as MergeSize, python, onProgress);
  console.log(`\n${mergeTable(figures.rows)}`);
  if (figures.numpyMissing) console.log(`\nnumpy: ${figures.numpyMissing}`);
  return figures;
}

function requireCount(name: string, value: unknown): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1)
    throw new UsageError(`--${name}: got ${value}, expected an integer of at least 1`);
  return count;
}

/** `python` is the interpreter that has numpy. */
export function runMerges(size: MergeSize, python: string, onProgress: (what: string) => void) {
  const modules = makeModules(size);
  const adapters: LoraModules[] = modules.map((module) => new Map([['m', module]]));
  const withFisher: LoraModules[] = modules.map((module) => new Map([['m', fisherOf(module)]]));
  const { rank } = size;
  const merges: [string, () => MergeResult][] = [
    ['average, same rank', () => average(adapters, { rank })],
    ['concatenate, exact', () => concatenate(adapters)],
    ['precisionAverage, same rank', () => precisionAverage(withFisher, { rank })],
    ['tsv, same rank', () => tsv(adapters, { rank })],
    ['ties in core space, same rank', () => ties(adapters, { density: 0.2, space: 'core', rank })],
    ['ties in ΔW, same rank', () => ties(adapters, { density: 0.2, rank })],
    ['dareLinear in ΔW, same rank', () => dareLinear(adapters, { density: 0.2, rank })],
  ];
  const rows = merges.map(([what, merge]) => {
    onProgress(what);
    return measureMerge(what, merge, what.includes('ΔW') ? 1 : size.rounds);
  });
  onProgress('numpy');
  const answer = askNumpy(modules, size, python);
  if (typeof answer === 'string') return { size, rows, numpyMissing: answer };
  const ours = rows[0].residual as number;
  if (Math.abs(ours - answer.residual) > 1e-4) {
    throw new Error(`average leaves out ${ours}, numpy's SVD ${answer.residual}: nothing is reported`);
  }
  const on = `numpy ${answer.numpy}`;
  const row = (what: string, { wall, cpu }: { wall: number; cpu: number }, residual: number | null): MergeRow => ({
    what,
    on,
    wallMs: 1000 * wall,
    cpuMs: 1000 * cpu,
    residual,
  });
  const both = { wall: answer.sum.wall + answer.svd.wall, cpu: answer.sum.cpu + answer.svd.cpu };
  rows.push(row('sum of dense ΔW alone', answer.sum, null), row('the same and its SVD', both, answer.residual));
  rows.push(row('ties of dense ΔW, without its SVD', answer.ties, null));
  return { size, rows };
}

function makeModules({ adapters, rank, dim }: MergeSize): LoraModule[] {
  return Array.from({ length: adapters }, (_, i) => {
    const random = new Random([i + 1, 2, 3, 4]);
    const loraA = new Float32Array(rank * dim);
    const loraB = new Float32Array(dim * rank);
    random.fillUniform(loraA, -1, 1);
    random.fillUniform(loraB, -0.01, 0.01);
    return { rank, inFeatures: dim, outFeatures: dim, loraA, loraB, scaling: 1 };
  });
}

function fisherOf(module: LoraModule): LoraModule {
  const anchor = new Float32Array(module.loraA.length + module.loraB.length);
  anchor.set(module.loraA);
  anchor.set(module.loraB, module.loraA.length);
  return { ...module, fisher: anchor.map(Math.abs), anchor };
}

function measureMerge(what: string, merge: () => MergeResult, rounds: number): MergeRow {
  const times: { wall: number; cpu: number }[] = [];
  let residual = 0;
  for (let i = 0; i < rounds; i++) {
    const [cpu, start] = [process.cpuUsage(), performance.now()];
    residual = merge().residual;
    const wall = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    times.push({ wall, cpu: (user + system) / 1000 });
  }
  const medianOf = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
  const wallMs = medianOf(times.map(({ wall }) => wall));
  return { what, on: denseKernels().device, wallMs, cpuMs: medianOf(times.map(({ cpu }) => cpu)), residual };
}

/** The answer, or why there is none. */
function askNumpy(
  modules: readonly LoraModule[],
  { adapters, rank, dim }: MergeSize,
  python: string,
): NumpyAnswer | string {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-merge-'));
  try {
    const file = join(folder, 'factors');
    writeFileSync(file, Buffer.concat(modules.flatMap(({ loraA, loraB }) => [bytesOf(loraA), bytesOf(loraB)])));
    const script = join(ROOT, 'bench', 'peers', 'merge_dense.py');
    const { status, stdout, stderr, error } = spawnSync(python, [script, file, `${adapters}`, `${rank}`, `${dim}`], {
      encoding: 'utf8',
    });
    if (status === 0) return JSON.parse(stdout) as NumpyAnswer;
    return error ? error.message : (stderr.trim().split('\n').at(-1) ?? '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

export function mergeTable(rows: readonly MergeRow[]): string {
  return formatTable(
    ['<merge', '<on', 'wall ms', 'CPU ms', 'residual'],
    rows.map(({ what, on, wallMs, cpuMs, residual }) => [
      what,
      on,
      wallMs.toFixed(0),
      cpuMs.toFixed(0),
      residual === null ? '' : residual.toFixed(4),
    ]),
  );
}
