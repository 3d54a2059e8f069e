/** From the numbers of a merge to modules and residuals. */
import type { LoraModule } from '../adapter/lora-module.js';
import { firstNonFinite } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type Matrix, timesColumns, transpose } from '../kernels/matrix.js';
import type { ModuleSet } from './checks.js';
import type { TruncatedSvd } from './svd.js';
import type { MergeResult } from './types.js';

/** One merged module, with the squares that its residual is made of. */
export interface MergedModule {
  module: LoraModule;
  /** Only asked for when something is missed: what is exact need not measure itself. */
  normSquare(): number;
  missedSquare: number;
}

/** Merges module after module. Throws ERR_NOT_FINITE if a merged number is beyond float32. */
export function mergeEach(
  sets: ReadonlyMap<string, ModuleSet>,
  merge: (set: ModuleSet, name: string) => MergedModule,
): MergeResult {
  const modules = new Map<string, LoraModule>();
  const residuals = new Map<string, number>();
  const all: MergedModule[] = [];
  for (const [name, set] of sets) {
    const merged = merge(set, name);
    requireFinite(name, merged.module);
    modules.set(name, merged.module);
    residuals.set(name, residualOf([merged]));
    all.push(merged);
  }
  return { modules, residual: residualOf(all), residuals };
}

function residualOf(merged: readonly MergedModule[]): number {
  const missedSquare = merged.reduce((sum, module) => sum + module.missedSquare, 0);
  if (missedSquare === 0) return 0;
  return Math.sqrt(missedSquare / merged.reduce((sum, module) => sum + module.normSquare(), 0));
}

function requireFinite(name: string, module: LoraModule): void {
  for (const key of ['loraA', 'loraB', 'fisher', 'anchor'] as const) {
    const values = module[key];
    const i = values ? firstNonFinite(values) : -1;
    if (i >= 0) {
      const place = `merged ${JSON.stringify(name)}.${key}[${i}]`;
      throw new LorakeetError('ERR_NOT_FINITE', `${place}: got a number beyond float32, expected smaller weights`);
    }
  }
}

/** loraB = b [outFeatures × k], loraA = a [k × inFeatures], padded with zeros to `rank`, scaling 1. */
export function moduleOf(b: Matrix, a: Matrix, rank: number): LoraModule {
  const [outFeatures, inFeatures] = [b.rows, a.columns];
  const loraA = new Float32Array(rank * inFeatures);
  const loraB = new Float32Array(outFeatures * rank);
  write(a, loraA, inFeatures);
  write(b, loraB, rank);
  return { rank, inFeatures, outFeatures, loraA, loraB, scaling: 1 };
}

function write(m: Matrix, target: Float32Array, stride: number): void {
  for (let i = 0; i < m.rows; i++) {
    const start = i * m.rowStride;
    for (let j = 0; j < m.columns; j++) target[i * stride + j] = m.data[start + j * m.columnStride];
  }
}

/** Each side gets the square root of the singular values. */
export function moduleOfSvd(svd: TruncatedSvd, rank: number): MergedModule {
  const { left, right } = balance(svd);
  const { normSquare, missedSquare } = svd;
  return { module: moduleOf(left, transpose(right), rank), normSquare: () => normSquare, missedSquare };
}

/** left·√σ and right·√σ. */
export function balance({ values, left, right }: TruncatedSvd) {
  const roots = values.map(Math.sqrt);
  return { left: timesColumns(left, roots), right: timesColumns(right, roots) };
}
