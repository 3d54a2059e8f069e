// Softmax over rows: short ones of attention, long ones of the vocabulary.
#pragma once

#include <float.h>

#include "vec_math.inl"

namespace {

LORAKEET_INLINE float row_maximum(const float* x, size_t n) {
  Vec most = broadcast(x[0]);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) most = larger(most, load(x + i));
  float result = largest(most);
  for (; i < n; i++) result = x[i] > result ? x[i] : result;
  return result;
}

// x = exp(scale · x − offset), in place; the sum of the results.
LORAKEET_INLINE float exponentials(float* x, float scale, float offset, size_t n) {
  const Vec s = broadcast(scale), o = broadcast(offset);
  Vec total = zero();
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Vec e = exponential(sub(mul(s, load(x + i)), o));
    store(x + i, e);
    total = add(total, e);
  }
  float result = sum(total);
  if (i < n) {
    store_some(x + i, exponential(sub(mul(s, load_some(x + i, n - i)), o)), n - i);
    for (; i < n; i++) result += x[i];
  }
  return result;
}

void scale_row(float* x, float scale, size_t n) {
  for (size_t i = 0; i < n; i += kWidth) store_some(x + i, mul(broadcast(scale), load_some(x + i, n - i)), n - i);
}

// `scale` is positive.
float soften(float* x, float scale, size_t n) {
  const float most = scale * row_maximum(x, n);
  const float total = exponentials(x, scale, most, n);
  scale_row(x, 1.0f / total, n);
  return most + logf(total);
}

void soften_again(float* x, float scale, float log_sum, size_t n) { exponentials(x, scale, log_sum, n); }

void soften_back(const float* p, float scale, size_t n, float* d) {
  Vec products = zero();
  for (size_t i = 0; i < n; i += kWidth) {
    products = fma(load_some(p + i, n - i), load_some(d + i, n - i), products);
  }
  const Vec mean = broadcast(sum(products)), s = broadcast(scale);
  for (size_t i = 0; i < n; i += kWidth) {
    store_some(d + i, mul(mul(s, load_some(p + i, n - i)), sub(load_some(d + i, n - i), mean)), n - i);
  }
}

// Numbers of a long row that are summed in fp32 before they are added to a sum in double.
constexpr size_t kSumBlock = 2048;

// Σ exp(x − offset) over a block; the terms go to `terms` unless that is null.
LORAKEET_INLINE double block_sum(const float* x, float offset, size_t n, float* terms) {
  const Vec o = broadcast(offset);
  Vec total = zero();
  float rest = 0;
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec e = exponential(sub(load_some(x + i, n - i), o));
    if (terms) store_some(terms + i, e, n - i);
    if (n - i >= kWidth) {
      total = add(total, e);
    } else {
      float part[kWidth];
      store(part, e);
      for (size_t j = 0; j < n - i; j++) rest += part[j];
    }
  }
  return static_cast<double>(sum(total)) + static_cast<double>(rest);
}

float log_sum(const float* x, size_t n) {
  const float most = row_maximum(x, n);
  double total = 0;
  for (size_t i = 0; i < n; i += kSumBlock) total += block_sum(x + i, most, fewer(kSumBlock, n - i), nullptr);
  return static_cast<float>(static_cast<double>(most) + log(total));
}

void scaled_softmax(float* x, float log_sum, float scale, size_t n) {
  const Vec s = broadcast(scale), o = broadcast(log_sum);
  for (size_t i = 0; i < n; i += kWidth) {
    store_some(x + i, mul(s, exponential(sub(load_some(x + i, n - i), o))), n - i);
  }
}

size_t draw(const float* x, float log_sum, double share, size_t n) {
  double total = 0;
  for (size_t i = 0; i < n; i += kSumBlock) total += block_sum(x + i, log_sum, fewer(kSumBlock, n - i), nullptr);
  const double wanted = share * total;
  double before = 0;
  for (size_t i = 0; i < n; i += kSumBlock) {
    float terms[kSumBlock];
    const size_t count = fewer(kSumBlock, n - i);
    const double block = block_sum(x + i, log_sum, count, terms);
    // the last block has to have it, whatever was lost in rounding
    if (before + block > wanted || i + count == n) {
      for (size_t j = 0; j < count; j++) {
        before += static_cast<double>(terms[j]);
        if (before > wanted) return i + j;
      }
      return i + count - 1;
    }
    before += block;
  }
  return n - 1;
}

}  // namespace
