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

// Entries of products that are worked on together; what they need of all summands of a merge should stay in the cache.
constexpr size_t kEntryRows = 8, kEntryColumns = 64;
// Products that are added to an entry at a time.
constexpr size_t kSteps = 4;

static constexpr size_t packed_rank(size_t rank) { return (rank + kSteps - 1) / kSteps * kSteps; }
static constexpr size_t less(size_t a, size_t b) { return a < b ? a : b; }

struct EntryRange {
  size_t first_row, end_row, first_column, width;  // width ≤ kEntryColumns
};

// Magnitudes by the bits of their float32: how many are above `high`, and how many in each of the bins of 2^shift
// values that begin at `low`.
struct MagnitudeCount {
  uint32_t low, high, shift;
  uint64_t above;
  uint32_t largest;
  uint64_t* bins;
};

struct DenseKernels {
  // The columns of x·y from `first` up to `end`, at most kDenseBlock of them; entry (i, j) goes to
  // out[i·row_stride + j·column_stride].
  void (*multiply_block)(const lorakeet_matrix& x, const lorakeet_matrix& y, size_t first, size_t end, double* out,
                         size_t row_stride, size_t column_stride, double* scratch);
  // As lorakeet_dense::symmetric_eigen, but in no order, of a matrix whose largest entry is 1. `scratch` holds 4n
  // doubles and n·n more.
  void (*eigen)(size_t n, double* matrix, double* values, double* scratch);
  // Adds the magnitudes of the product's entries in the range to the counts. `scratch` holds entry_scratch doubles.
  void (*count_magnitudes)(const lorakeet_summand& product, size_t columns, const EntryRange& range, double* scratch,
                           MagnitudeCount* counts);
  // The range of lorakeet_dense::merge_entries.
  void (*merge_entries)(const lorakeet_summand* summands, size_t count, size_t columns, const EntryRange& range,
                        lorakeet_election election, double lambda, double* scratch, float* merged);
};

const DenseKernels& baseline_dense();
const DenseKernels& avx2_dense();
const DenseKernels& avx512_dense();
const DenseKernels& neon_dense();

}  // namespace lorakeet
