// What each instruction set provides; dense.cc does the rest. The units that implement it show nothing else.
#pragma once

#include "lorakeet/dense.h"

namespace lorakeet {

// Columns of the result that are computed together.
constexpr size_t kDenseBlock = 128;
// Products that are summed before the result is touched again.
constexpr size_t kDenseDepth = 256;

// Doubles of working memory for one block of columns: packed columns of y and packed rows of x.
constexpr size_t kDenseScratch = kDenseDepth * (kDenseBlock + 32);

struct DenseKernels {
  // The columns of x·y from `first` up to `end`, at most kDenseBlock of them; entry (i, j) goes to
  // out[i·row_stride + j·column_stride].
  void (*multiply_block)(const lorakeet_matrix& x, const lorakeet_matrix& y, size_t first, size_t end, double* out,
                         size_t row_stride, size_t column_stride, double* scratch);
  // As lorakeet_dense::symmetric_eigen, but in no order, of a matrix whose largest entry is 1. `scratch` holds 4n
  // doubles and n·n more.
  void (*eigen)(size_t n, double* matrix, double* values, double* scratch);
};

const DenseKernels& baseline_dense();
const DenseKernels& avx2_dense();
const DenseKernels& avx512_dense();
const DenseKernels& neon_dense();

}  // namespace lorakeet
