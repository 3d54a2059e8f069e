// Products of few rows: the weight is read once, in order, as it is stored; rows stay in the caches.
#pragma once

#include "product_kernels.h"
#include "vectors.h"

namespace {

using namespace lorakeet;

constexpr size_t kAhead = 5120;  // bytes from what is read of a weight to what is asked for

// kRows rows of x times kColumns rows of the weight, 4 or 1. Each sum is added up in the same order whatever kRows and
// kColumns are: lane by lane, then what is left over, then the lanes.
template <typename T, size_t kRows, size_t kColumns>
LORAKEET_INLINE void project_tile(const FewRows& few, size_t row, size_t column) {
  constexpr size_t kLine = 64 / sizeof(T);  // a cache line of the weight
  const size_t in = few.weight.in, lines = in - in % kLine, whole = in - in % kWidth;
  const T* const weight = static_cast<const T*>(few.weight.data) + column * in;
  const float* const x = few.x + row * few.x_stride;
  Vec sums[kRows][4];
  LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) {
    LORAKEET_UNROLL for (size_t c = 0; c < 4; c++) sums[r][c] = zero();
  }
  const auto multiply = [&](size_t k) {
    Vec numbers[kRows];
    LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) numbers[r] = load(x + r * few.x_stride + k);
    LORAKEET_UNROLL for (size_t c = 0; c < kColumns; c++) {
      const Vec w = load(weight + c * in + k);
      LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) sums[r][c] = fma(numbers[r], w, sums[r][c]);
    }
  };
  size_t k = 0;
  for (; k < lines; k += kLine) {
    // the weight is one long stretch of memory, which processors do not see in so many short streams
    LORAKEET_UNROLL for (size_t c = 0; c < kColumns; c++) {
      fetch(reinterpret_cast<const char*>(weight + kColumns * k) + kAhead + c * 64);
    }
    LORAKEET_UNROLL for (size_t i = 0; i < kLine; i += kWidth) multiply(k + i);
  }
  for (; k < whole; k += kWidth) multiply(k);
  for (size_t r = 0; r < kRows; r++) {
    if (whole < in) {
      const Vec rest = load_part(x + r * few.x_stride + whole, in - whole);
      for (size_t c = 0; c < kColumns; c++) {
        sums[r][c] = fma(rest, load_part(weight + c * in + whole, in - whole), sums[r][c]);
      }
    }
    float totals[4];
    store_sums(totals, 1, sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
    float* const y = few.y + (row + r) * few.y_stride + column;
    for (size_t c = 0; c < kColumns; c++) {
      const float scaled = few.weight.row_scale ? few.weight.row_scale[column + c] * totals[c] : totals[c];
      y[c] = few.accumulate ? y[c] + scaled : scaled;
    }
  }
}

template <typename T>
void project_some(const FewRows& few, size_t first, size_t end) {
  // so few columns at a time that further rows find them in the cache
  for (; first + 4 <= end; first += 4) {
    size_t row = 0;
    for (; row + 4 <= few.rows; row += 4) project_tile<T, 4, 4>(few, row, first);
    for (; row + 2 <= few.rows; row += 2) project_tile<T, 2, 4>(few, row, first);
    if (row < few.rows) project_tile<T, 1, 4>(few, row, first);
  }
  for (; first < end; first++) {
    for (size_t row = 0; row < few.rows; row++) project_tile<T, 1, 1>(few, row, first);
  }
}

void project_few(const FewRows& few, size_t first, size_t end) {
  switch (few.weight.type) {
    case WeightType::kF32:
      return project_some<float>(few, first, end);
    case WeightType::kBf16:
      return project_some<Bf16>(few, first, end);
    case WeightType::kF16:
      return project_some<Half>(few, first, end);
    case WeightType::kInt8:
      return project_some<int8_t>(few, first, end);
  }
}

}  // namespace
