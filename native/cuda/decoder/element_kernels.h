// Kernels over single numbers. An item is a stretch of kStretch of them.
#pragma once

#include "../block.h"
#include "../numbers.h"

namespace lorakeet::cuda::decoder {

constexpr uint32_t kStretch = 1024;
inline size_t stretches(size_t count) { return (count + kStretch - 1) / kStretch; }

// body(i) for every number of a stretch.
template <class Body>
LORAKEET_DEVICE void for_stretch(const Block& block, uint32_t item, size_t count, Body body) {
  const size_t first = size_t{item} * kStretch, left = count - first;
  block.for_each(left < kStretch ? static_cast<uint32_t>(left) : kStretch, [&](uint32_t i) { body(first + i); });
}

struct FillZeros {
  float* x;
  size_t count;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) { x[i] = 0; });
  }
};

// y = x, or y += x
struct CopyNumbers {
  const float* x;
  float* y;
  size_t count;
  uint32_t add;  // 0 or 1

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) { y[i] = add ? y[i] + x[i] : x[i]; });
  }
};

struct RoundNumbers {
  const float* x;
  Bf16* y;
  size_t count;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) { y[i] = nearest(x[i]); });
  }
};

// 1 / (1 + exp(−x))
LORAKEET_DEVICE float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

// y = silu(gate) · up, silu(x) = x / (1 + exp(−x))
struct Swiglu {
  const float *gate, *up;
  float* y;
  size_t count;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) { y[i] = gate[i] * logistic(gate[i]) * up[i]; });
  }
};

// Of dy, in place: d_gate holds dy before. silu'(x) = σ(x) · (1 + x · (1 − σ(x)))
struct SwigluBack {
  const float *gate, *up;
  float *d_gate, *d_up;
  size_t count;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) {
      const float g = gate[i], d = d_gate[i], s = logistic(g);
      d_up[i] = d * (g * s);
      d_gate[i] = d * up[i] * (s * (1.0f + g * (1.0f - s)));
    });
  }
};

// AdamW and the pull of EWC as lorakeet_adapter_step has them.
struct Adamw {
  float *parameters, *gradient, *moment1, *moment2;
  const float *fisher, *anchor;
  size_t count;
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float gradient_scale;                      // of clipping
  float bias_correction1, bias_correction2;  // 1 − βᵗ
  float pull;                                // ηλ; 0: fisher and anchor are not looked at

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) {
      const float g = gradient_scale * gradient[i];
      const float m = moment1[i] = beta1 * moment1[i] + (1.0f - beta1) * g;
      const float v = moment2[i] = beta2 * moment2[i] + (1.0f - beta2) * (g * g);
      float parameter = (1.0f - learning_rate * weight_decay) * parameters[i];
      parameter -= learning_rate / bias_correction1 * m / (sqrtf(v / bias_correction2) + epsilon);
      if (pull > 0) {
        const float force = pull * fisher[i];
        parameter = (parameter + force * anchor[i]) / (1.0f + force);
      }
      parameters[i] = parameter;
      gradient[i] = 0;
    });
  }
};

// fisher += weight · gradient², and the gradient becomes 0
struct AddSquares {
  float *gradient, *fisher;
  size_t count;
  float weight;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    for_stretch(block, item, count, [&](size_t i) {
      fisher[i] += weight * (gradient[i] * gradient[i]);
      gradient[i] = 0;
    });
  }
};

// sums[item] = Σ x² over an item's kSummed numbers
struct SumSquares {
  static constexpr uint32_t kSummed = 16384;
  const float* x;
  size_t count;
  double* sums;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const size_t first = size_t{item} * kSummed, left = count - first;
    const double total = block.sum(left < kSummed ? static_cast<uint32_t>(left) : kSummed, [&](uint32_t i) {
      return static_cast<double>(x[first + i]) * static_cast<double>(x[first + i]);
    });
    block.for_each(1, [&](uint32_t) { sums[item] = total; });
  }
};

}  // namespace lorakeet::cuda::decoder
