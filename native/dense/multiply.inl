// One block of columns of a product. Rows of x and columns of y are packed, in double, so that the inner loop runs
// along memory whatever the strides; a tile of the result then stays in registers for kDenseDepth products.
#pragma once

#include <string.h>

#include "isa.h"

namespace {

using namespace lorakeet;

// What compilers keep in registers as it is written here; larger tiles were slower on AVX-512 too.
#if defined(__AVX2__)
constexpr size_t kTileRows = 4, kTileColumns = 8;
#else
constexpr size_t kTileRows = 4, kTileColumns = 4;
#endif

// to[j · width + i] = entry (first + i, from + j) of m for j < depth, 0 for i ≥ count
template <typename T>
void pack_rows(const T* data, const lorakeet_matrix& m, size_t first, size_t count, size_t from, size_t depth,
               size_t width, double* to) {
  for (size_t i = 0; i < width; i++) {
    if (i >= count) {
      for (size_t j = 0; j < depth; j++) to[j * width + i] = 0;
      continue;
    }
    const T* entry = data + (first + i) * m.row_stride + from * m.column_stride;
    for (size_t j = 0; j < depth; j++, entry += m.column_stride) to[j * width + i] = static_cast<double>(*entry);
  }
}

void pack(const lorakeet_matrix& m, size_t first, size_t count, size_t from, size_t depth, size_t width, double* to) {
  if (m.floats) {
    pack_rows(m.floats, m, first, count, from, depth, width, to);
  } else {
    pack_rows(m.doubles, m, first, count, from, depth, width, to);
  }
}

lorakeet_matrix transposed(const lorakeet_matrix& m) {
  return {m.floats, m.doubles, m.columns, m.rows, m.column_stride, m.row_stride};
}

// tile = Σ over depth of one packed row times one packed column
void multiply_tile(size_t depth, const double* x, const double* y, double tile[kTileRows][kTileColumns]) {
  double sums[kTileRows][kTileColumns] = {};
  for (size_t k = 0; k < depth; k++, x += kTileRows, y += kTileColumns) {
    for (size_t i = 0; i < kTileRows; i++) {
      for (size_t j = 0; j < kTileColumns; j++) sums[i][j] += x[i] * y[j];
    }
  }
  memcpy(tile, sums, sizeof(sums));
}

void multiply_block(const lorakeet_matrix& x, const lorakeet_matrix& y, size_t first, size_t end, double* out,
                    size_t row_stride, size_t column_stride, double* scratch) {
  static_assert(kDenseBlock % kTileColumns == 0 && kTileRows <= 32, "scratch is laid out for this");
  double* const packed_y = scratch;
  double* const packed_x = scratch + kDenseDepth * kDenseBlock;
  const lorakeet_matrix columns_of_y = transposed(y);
  for (size_t from = 0; from < x.columns; from += kDenseDepth) {
    const size_t depth = less(kDenseDepth, x.columns - from);
    for (size_t j = first; j < end; j += kTileColumns) {
      pack(columns_of_y, j, less(kTileColumns, end - j), from, depth, kTileColumns, packed_y + (j - first) * depth);
    }
    for (size_t i = 0; i < x.rows; i += kTileRows) {
      const size_t rows = less(kTileRows, x.rows - i);
      pack(x, i, rows, from, depth, kTileRows, packed_x);
      for (size_t j = first; j < end; j += kTileColumns) {
        double tile[kTileRows][kTileColumns];
        multiply_tile(depth, packed_x, packed_y + (j - first) * depth, tile);
        const size_t columns = less(kTileColumns, end - j);
        for (size_t r = 0; r < rows; r++) {
          double* to = out + (i + r) * row_stride + j * column_stride;
          for (size_t c = 0; c < columns; c++, to += column_stride) *to = (from ? *to : 0) + tile[r][c];
        }
      }
    }
  }
}

}  // namespace
