/** Matrices over typed arrays: what the dense operations take and give. */

/** Entry (i, j) is data[i·rowStride + j·columnStride]; so a transpose costs nothing. */
export interface Matrix {
  readonly data: Float32Array | Float64Array;
  readonly rows: number;
  readonly columns: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

export interface FloatMatrix extends Matrix {
  readonly data: Float32Array;
}

/** Row-major, which is what the operations make. */
export interface DoubleMatrix extends Matrix {
  readonly data: Float64Array;
}

export function matrix<T extends Float32Array | Float64Array>(data: T, rows: number, columns: number) {
  return { data, rows, columns, rowStride: columns, columnStride: 1 };
}

export function zeros(rows: number, columns: number): DoubleMatrix {
  return matrix(new Float64Array(rows * columns), rows, columns);
}

export function transpose<M extends Matrix>(m: M) {
  return { data: m.data, rows: m.columns, columns: m.rows, rowStride: m.columnStride, columnStride: m.rowStride };
}

/** The columns from `first` up to `end`, as a view. */
export function columnsOf(m: Matrix, first: number, end: number): Matrix {
  return { ...m, data: m.data.subarray(first * m.columnStride), columns: end - first };
}

/** In double and row-major. */
export function copyOf(m: Matrix): DoubleMatrix {
  const copy = zeros(m.rows, m.columns);
  for (let i = 0, at = 0; i < m.rows; i++) {
    for (let j = 0; j < m.columns; j++, at++) copy.data[at] = m.data[i * m.rowStride + j * m.columnStride];
  }
  return copy;
}

/** m · diag(factors), as a copy. */
export function timesColumns(m: Matrix, factors: Float64Array): DoubleMatrix {
  const product = copyOf(m);
  for (let i = 0, at = 0; i < m.rows; i++) {
    for (let j = 0; j < m.columns; j++, at++) product.data[at] *= factors[j];
  }
  return product;
}
