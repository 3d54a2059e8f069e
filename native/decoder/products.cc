#include "products.h"

#include <string.h>

#include <stdexcept>

#include "../cpu/bf16.h"
#include "lorakeet/cpu.h"

namespace lorakeet {
namespace {

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
  // as if the exponent were that of a float, and then scaled by what the biases differ in
  uint32_t bits = magnitude << 13;
  float value;
  memcpy(&value, &bits, sizeof(value));
  value *= 0x1p112f;
  if (magnitude >= 0x7c00)
    bits |= 0x7f800000;  // infinite or not a number
  else
    memcpy(&bits, &value, sizeof(bits));
  bits |= sign;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

float entry(const Weight& w, size_t o, size_t i) {
  const size_t at = o * w.in + i;
  switch (w.type) {
    case WeightType::kF32:
      return static_cast<const float*>(w.data)[at];
    case WeightType::kBf16:
      return to_float(static_cast<const Bf16*>(w.data)[at]);
    case WeightType::kF16:
      return half_to_float(static_cast<const uint16_t*>(w.data)[at]);
    default:
      return w.row_scale[o] * static_cast<float>(static_cast<const int8_t*>(w.data)[at]);
  }
}

}  // namespace

class ProductEngine {
 public:
  uint32_t threads;
};

Products::Products(const char* device, uint32_t threads) {
  for (uint32_t i = 0;; i++) {
    const lorakeet_kernels* known = lorakeet_cpu_kernels(i);
    if (!known) throw std::invalid_argument("unknown device");
    if (strcmp(known->device, device) == 0) break;
  }
  if (threads < 1) throw std::invalid_argument("threads < 1");
  engine_.reset(new ProductEngine{threads});
}

Products::~Products() = default;

uint32_t Products::threads() const { return engine_->threads; }
bool Products::has_bf16() const { return false; }

void Products::project(const float* x, size_t x_stride, size_t rows, const Projection* projections, size_t count,
                       bool accumulate, Arithmetic) {
  for (const Projection* p = projections; p < projections + count; p++) {
    for (size_t r = 0; r < rows; r++) {
      for (size_t o = 0; o < p->weight.out; o++) {
        float sum = 0;
        for (size_t i = 0; i < p->weight.in; i++) sum += x[r * x_stride + i] * entry(p->weight, o, i);
        float& y = p->y[r * p->y_stride + o];
        y = (accumulate ? y : 0) + sum;
      }
    }
  }
}

void Products::project_back(const float* x, size_t x_stride, size_t rows, const Weight& weight, float* y,
                            size_t y_stride, bool accumulate, Arithmetic) {
  for (size_t r = 0; r < rows; r++) {
    float* const to = y + r * y_stride;
    if (!accumulate) memset(to, 0, weight.in * sizeof(float));
    for (size_t o = 0; o < weight.out; o++) {
      for (size_t i = 0; i < weight.in; i++) to[i] += x[r * x_stride + o] * entry(weight, o, i);
    }
  }
}

void Products::multiply(size_t m, size_t n, size_t k, float alpha, const MatrixView& a, const MatrixView& b, float beta,
                        float* c, size_t c_stride) {
  multiply_small(0, m, n, k, alpha, a, b, beta, c, c_stride);
}

void Products::multiply_small(uint32_t, size_t m, size_t n, size_t k, float alpha, const MatrixView& a,
                              const MatrixView& b, float beta, float* c, size_t c_stride) {
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      float sum = 0;
      for (size_t l = 0; l < k; l++) {
        sum += a.data[i * a.row_stride + l * a.column_stride] * b.data[l * b.row_stride + j * b.column_stride];
      }
      float& to = c[i * c_stride + j];
      to = alpha * sum + (beta == 0 ? 0 : beta * to);
    }
  }
}

}  // namespace lorakeet
