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

/* scale·b·a, of which single entries are wanted: b [rows × rank], a [rank × columns], row-major. */
typedef struct lorakeet_summand {
  const float *b, *a;
  size_t rank;
  double scale;
  /* The rest only counts for merges. Entries of less than this magnitude are dropped; */
  double threshold;
  /* of the others each stays with this probability, above 0 and at most 1, and is divided by it: entry i, counted row
   * by row, if word i of the stream `key` is below share·2³². */
  double share;
  uint32_t key[2];
  double weight;
} lorakeet_summand;

/* Whose sign the merged entry has; src/kernels/entries.ts says what that means. */
typedef enum lorakeet_election {
  LORAKEET_ELECT_NONE = 0,
  LORAKEET_ELECT_TOTAL = 1,
  LORAKEET_ELECT_FREQUENCY = 2,
} lorakeet_election;

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
  /*
   * found[0] = the count-th largest among the magnitudes of the product's entries as float32, found[1] = the largest;
   * 1 ≤ count ≤ rows·columns, product->rank ≥ 1. Returns 0, or 1 where memory ran out.
   */
  int (*magnitude_at)(size_t rows, size_t columns, const lorakeet_summand* product, uint64_t count, float found[2],
                      uint32_t threads);
  /*
   * merged [rows × columns], row-major, = the merge of the summands' entries; for LORAKEET_ELECT_NONE their weighted
   * sum, without lambda. The result does not depend on `threads`. Returns 0, or 1 where memory ran out.
   */
  int (*merge_entries)(size_t rows, size_t columns, const lorakeet_summand* summands, size_t count,
                       lorakeet_election election, double lambda, float* merged, uint32_t threads);
} lorakeet_dense;

/* The table of an instruction set by its name; null if this processor cannot run it. */
const lorakeet_dense* lorakeet_dense_kernels(const char* device);

#ifdef __cplusplus
}
#endif
#endif
