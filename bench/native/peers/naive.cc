// C++ as one writes it down: a loop per formula, matrices as PEFT stores them, no thought of vector instructions beyond
// what the compiler makes of it.

#include <math.h>

#include <algorithm>

#include "peer.h"

namespace lorakeet {
namespace {

void latent(const PeerShape& s, const float* a, const float* x, float* z) {
  for (uint32_t k = 0; k < s.rank; k++) {
    float sum = 0;
    for (uint32_t j = 0; j < s.dim; j++) sum += a[k * s.dim + j] * x[j];
    z[k] = sum;
  }
}

void forward(const PeerShape& s, const float* b, const float* x, const float* z, float* y) {
  for (uint32_t o = 0; o < s.dim; o++) {
    float sum = 0;
    for (uint32_t k = 0; k < s.rank; k++) sum += b[o * s.rank + k] * z[k];
    y[o] = x[o] + s.scaling * sum;
  }
}

void apply(const PeerShape& s, const float* state, const float* x, uint32_t rows, float* y, float* z) {
  for (uint32_t i = 0; i < rows; i++, x += s.dim, y += s.dim) {
    latent(s, state, x, z);
    forward(s, state + s.matrix(), x, z, y);
  }
}

PeerReport update(const PeerShape& s, float* state, const float* x, const float* target, uint32_t rows,
                  const PeerStep& step, float* scratch) {
  const float *a = state, *b = state + s.matrix();
  float *z = scratch, *back = z + s.rank, *e = back + s.rank, *grad = e + s.dim;
  float *grad_a = grad, *grad_b = grad + s.matrix();
  std::fill(grad, grad + s.section(), 0.0f);
  const float mean = 1.0f / (static_cast<float>(rows) * s.dim);
  float loss = 0;
  for (uint32_t i = 0; i < rows; i++, x += s.dim, target += s.dim) {
    latent(s, a, x, z);
    forward(s, b, x, z, e);
    for (uint32_t o = 0; o < s.dim; o++) {
      const float difference = e[o] - target[o];
      loss += difference * difference;
      e[o] = 2 * mean * s.scaling * difference;
    }
    for (uint32_t k = 0; k < s.rank; k++) {
      float sum = 0;
      for (uint32_t o = 0; o < s.dim; o++) sum += b[o * s.rank + k] * e[o];
      back[k] = sum;
    }
    for (uint32_t o = 0; o < s.dim; o++) {
      for (uint32_t k = 0; k < s.rank; k++) grad_b[o * s.rank + k] += e[o] * z[k];
    }
    for (uint32_t k = 0; k < s.rank; k++) {
      for (uint32_t j = 0; j < s.dim; j++) grad_a[k * s.dim + j] += back[k] * x[j];
    }
  }
  float squares = 0;
  for (size_t i = 0; i < s.section(); i++) squares += grad[i] * grad[i];
  const float norm = sqrtf(squares);
  const bool clipped = norm > step.max_grad_norm;
  const float rate = clipped ? step.learning_rate * step.max_grad_norm / norm : step.learning_rate;
  const float *fisher = state + s.section(), *anchor = fisher + s.section();
  for (size_t i = 0; i < s.section(); i++) {
    const float strength = step.learning_rate * step.ewc_lambda * fisher[i];
    state[i] = (state[i] - rate * grad[i] + strength * anchor[i]) / (1 + strength);
  }
  return {loss * mean, norm, clipped};
}

}  // namespace

const Peer* naive_peer() {
  static const Peer peer{"naive", [] { return std::string("-O3 -march=native"); }, false, apply, update};
  return &peer;
}

}  // namespace lorakeet
