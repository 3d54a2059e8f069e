/** The dense operations over the addon; native.ts finds it. */
import type { DenseKernels } from './dense.js';
import { ELECTIONS } from './entries.js';
import { copyOf, type FloatMatrix, matrix, zeros } from './matrix.js';

/** Those of the addon's functions that have no pool. */
export interface DenseAddon {
  multiply(...args: MultiplyArguments): void;
  symmetricEigen(instructionSet: string, size: number, matrix: Float64Array, values: Float64Array): void;
  magnitudeAt(...args: MagnitudeArguments): void;
  mergeEntries(...args: MergeArguments): void;
}

/** out [rows × columns] = x [rows × inner] · y [inner × columns]; the strides of a row and of a column. */
type MultiplyArguments = [
  instructionSet: string,
  rows: number,
  inner: number,
  columns: number,
  x: Float32Array | Float64Array,
  xRowStride: number,
  xColumnStride: number,
  y: Float32Array | Float64Array,
  yRowStride: number,
  yColumnStride: number,
  out: Float64Array,
  threads: number,
];

/** found = the count-th largest magnitude in scale·b·a, b [rows × rank] and a [rank × columns], and the largest. */
type MagnitudeArguments = [
  instructionSet: string,
  rows: number,
  rank: number,
  columns: number,
  b: Float32Array,
  a: Float32Array,
  scale: number,
  count: number,
  found: Float32Array,
  threads: number,
];

/** b: [rows × rank] of each summand, one after the other; a: [rank × columns]; merged: [rows × columns]. */
type MergeArguments = [
  instructionSet: string,
  rows: number,
  columns: number,
  ranks: Uint32Array,
  b: Float32Array,
  a: Float32Array,
  /** Of each summand: scale, weight, threshold, share, both words of the key. */
  numbers: Float64Array,
  election: number,
  lambda: number,
  merged: Float32Array,
  threads: number,
];

/** `coded` turns errors of the addon into LorakeetErrors. */
export function denseOver(
  addon: DenseAddon,
  device: string,
  threads: number,
  coded: <T>(call: () => T) => T,
): DenseKernels {
  return {
    device,
    multiply(x, y) {
      const product = zeros(x.rows, y.columns);
      const { data: out } = product;
      const [ofX, ofY] = [x, y].map((m) => [m.data, m.rowStride, m.columnStride] as const);
      coded(() => addon.multiply(device, x.rows, x.columns, y.columns, ...ofX, ...ofY, out, threads));
      return product;
    },
    symmetricEigen(symmetric) {
      const n = symmetric.rows;
      const vectors = symmetric.data.slice();
      const values = new Float64Array(n);
      coded(() => addon.symmetricEigen(device, n, vectors, values));
      return { values, vectors: matrix(vectors, n, n) };
    },
    magnitudeAt({ b, a, scale }, count) {
      const found = new Float32Array(2);
      const [rows, rank, columns] = [b.rows, b.columns, a.columns];
      const factors = [stacked([b]), stacked([a])] as const;
      coded(() => addon.magnitudeAt(device, rows, rank, columns, ...factors, scale, count, found, threads));
      return { value: found[0], largest: found[1] };
    },
    mergeEntries(summands, { election, lambda }) {
      const { rows } = summands[0].b;
      const { columns } = summands[0].a;
      const ranks = Uint32Array.from(summands, ({ b }) => b.columns);
      const numbers = Float64Array.from(
        summands.flatMap(({ scale, weight, threshold, share, key }) => [scale, weight, threshold, share, ...key]),
      );
      const b = stacked(summands.map((summand) => summand.b));
      const a = stacked(summands.map((summand) => summand.a));
      const merged = new Float32Array(rows * columns);
      const rule = [ELECTIONS.indexOf(election), lambda] as const;
      coded(() => addon.mergeEntries(device, rows, columns, ranks, b, a, numbers, ...rule, merged, threads));
      return merged;
    },
  };
}

/** The entries of all matrices, row-major, one matrix after the other. */
function stacked(matrices: readonly FloatMatrix[]): Float32Array {
  const all = new Float32Array(matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0));
  let at = 0;
  for (const m of matrices) {
    const rowMajor = m.columnStride === 1 && m.rowStride === m.columns;
    all.set((rowMajor ? m : copyOf(m)).data.subarray(0, m.rows * m.columns), at);
    at += m.rows * m.columns;
  }
  return all;
}
