// RMSNorm, RoPE, SwiGLU and sums, row by row.
#pragma once

#include "vec_math.inl"

namespace {

// 1 / √(mean(x²) + epsilon)
LORAKEET_INLINE float inverse_rms(const float* x, float epsilon, size_t n) {
  Vec squares = zero();
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec v = load_some(x + i, n - i);
    squares = fma(v, v, squares);
  }
  return 1.0f / sqrtf(sum(squares) / static_cast<float>(n) + epsilon);
}

void normalize(const float* x, const float* weight, float epsilon, size_t n, float* y) {
  const Vec inverse = broadcast(inverse_rms(x, epsilon, n));
  for (size_t i = 0; i < n; i += kWidth) {
    store_some(y + i, mul(mul(load_some(x + i, n - i), inverse), load_some(weight + i, n - i)), n - i);
  }
}

// With r = 1 / rms: dx = r·w·dy − x · r³/n · Σ w·dy·x
void normalize_back(const float* x, const float* weight, float epsilon, const float* dy, size_t n, float* dx,
                    bool add_to) {
  const float r = inverse_rms(x, epsilon, n);
  Vec products = zero();
  for (size_t i = 0; i < n; i += kWidth) {
    products = fma(mul(load_some(weight + i, n - i), load_some(dy + i, n - i)), load_some(x + i, n - i), products);
  }
  const Vec inverse = broadcast(r), along = broadcast(sum(products) / static_cast<float>(n) * r * r * r);
  for (size_t i = 0; i < n; i += kWidth) {
    Vec d = mul(inverse, mul(load_some(weight + i, n - i), load_some(dy + i, n - i)));
    d = fnma(along, load_some(x + i, n - i), d);
    if (add_to) d = add(d, load_some(dx + i, n - i));
    store_some(dx + i, d, n - i);
  }
}

template <bool Back>
void turn(float* x, const float* cosines, const float* sines, size_t half) {
  for (size_t i = 0; i < half; i += kWidth) {
    const size_t n = half - i;
    const Vec a = load_some(x + i, n), b = load_some(x + half + i, n);
    const Vec c = load_some(cosines + i, n), s = load_some(sines + i, n);
    store_some(x + i, Back ? fma(b, s, mul(a, c)) : fnma(b, s, mul(a, c)), n);
    store_some(x + half + i, Back ? fnma(a, s, mul(b, c)) : fma(a, s, mul(b, c)), n);
  }
}

// 1 / (1 + exp(−x))
LORAKEET_INLINE Vec logistic(Vec x) { return div(broadcast(1.0f), add(broadcast(1.0f), exponential(sub(zero(), x)))); }

void swiglu(const float* gate, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec g = load_some(gate + i, n - i);
    store_some(y + i, mul(mul(g, logistic(g)), load_some(up + i, n - i)), n - i);
  }
}

// silu'(x) = σ(x) · (1 + x · (1 − σ(x)))
void swiglu_back(const float* gate, const float* up, size_t n, float* d_gate, float* d_up) {
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec g = load_some(gate + i, n - i), d = load_some(d_gate + i, n - i), s = logistic(g);
    const Vec slope = mul(s, fma(g, sub(broadcast(1.0f), s), broadcast(1.0f)));
    store_some(d_up + i, mul(d, mul(g, s)), n - i);
    store_some(d_gate + i, mul(mul(d, load_some(up + i, n - i)), slope), n - i);
  }
}

void add_row(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; i += kWidth) {
    store_some(y + i, add(load_some(y + i, n - i), load_some(x + i, n - i)), n - i);
  }
}

// The mask is a function of key and index alone, so that it need not be kept.
void drop(const float* x, size_t n, uint32_t key, uint32_t threshold, float scale, bool add_to, float* y) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t random = lorakeet::mixed(key + static_cast<uint32_t>(i) * 0x9e3779b9u);
    const float kept = random < threshold ? 0.0f : x[i] * scale;
    y[i] = add_to ? y[i] + kept : kept;
  }
}

}  // namespace
