/* Dense linear algebra in double on the CPU, for what is not a step of a pool. src/kernels/dense.ts is the same
 * contract. */
#ifndef LORAKEET_DENSE_H
#define LORAKEET_DENSE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Entry (i, j) is data[i·row_stride + j·column_stride]; exactly one of floats and doubles is given. */
typedef struct lorakeet_matrix {
  const float* floats;
  const double* doubles;
  size_t rows, columns;
  size_t row_stride, column_stride;
} lorakeet_matrix;

typedef struct lorakeet_dense {
  /* As in lorakeet_kernels: "avx512", "avx2", "neon" or "baseline". */
  const char* device;
  /*
   * out [x.rows × y.columns], row-major, = x·y, with every sum in double. The result does not depend on `threads`.
   * Returns 0, or 1 where memory ran out.
   */
  int (*multiply)(const lorakeet_matrix* x, const lorakeet_matrix* y, double* out, uint32_t threads);
  /*
   * Of the symmetric n × n matrix in `matrix`, of which only the upper triangle is read: eigenvalues in falling order,
   * and in row i of `matrix` the vector of length 1 that belongs to the i-th. Returns 0, or 1 where memory ran out.
   */
  int (*symmetric_eigen)(size_t n, double* matrix, double* values);
} lorakeet_dense;

/* The table of an instruction set by its name; null if this processor cannot run it. */
const lorakeet_dense* lorakeet_dense_kernels(const char* device);

#ifdef __cplusplus
}
#endif
#endif
