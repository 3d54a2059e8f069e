// Products of single rows, for which packing a matrix would cost more than it saves: decoding token by token.
#pragma once

#include "softmax.inl"

namespace {

LORAKEET_INLINE Vec dot(const float* a, const float* b, size_t n) {
  Vec total = zero();
  for (size_t i = 0; i < n; i += kWidth) total = fma(load_some(a + i, n - i), load_some(b + i, n - i), total);
  return total;
}

void multiply_vector(const float* matrix, size_t rows, size_t columns, const float* x, float scale, bool add_to,
                     float* y) {
  for (size_t i = 0; i < rows; i += 4) {
    const size_t count = fewer(4, rows - i);
    Vec totals[4] = {zero(), zero(), zero(), zero()};
    const float* row = matrix + i * columns;
    if (count == 4) {
      for (size_t j = 0; j < columns; j += kWidth) {
        const Vec v = load_some(x + j, columns - j);
        for (size_t r = 0; r < 4; r++) {
          totals[r] = fma(load_some(row + r * columns + j, columns - j), v, totals[r]);
        }
      }
    } else {
      for (size_t r = 0; r < count; r++) totals[r] = dot(row + r * columns, x, columns);
    }
    float sums[4];
    store_sums(sums, scale, totals[0], totals[1], totals[2], totals[3]);
    for (size_t r = 0; r < count; r++) y[i + r] = add_to ? y[i + r] + sums[r] : sums[r];
  }
}

void attend(const float* query, const float* keys, const float* values, size_t count, size_t dim, float scale,
            float* scores, float* out) {
  multiply_vector(keys, count, dim, query, 1.0f, false, scores);
  soften(scores, scale, count);
  for (size_t i = 0; i < dim; i += 4 * kWidth) {
    const size_t width = fewer(4 * kWidth, dim - i);
    Vec totals[4] = {zero(), zero(), zero(), zero()};
    const float* value = values + i;
    for (size_t j = 0; j < count; j++, value += dim) {
      const Vec share = broadcast(scores[j]);
      for (size_t at = 0, v = 0; at < width; at += kWidth, v++) {
        totals[v] = fma(share, load_some(value + at, width - at), totals[v]);
      }
    }
    for (size_t at = 0, v = 0; at < width; at += kWidth, v++) store_some(out + i + at, totals[v], width - at);
  }
}

}  // namespace
