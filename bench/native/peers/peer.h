// What the kernels are compared with: the same two operations, written with something else.
//
// A user's state is one block of floats: weights, Fisher, anchor, each [A | B] with A as [rank][dim]. B is [dim][rank],
// or [rank][dim] for a peer that asks for it: the kernels, too, store their matrices as suits them.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>

namespace lorakeet {

struct PeerShape {
  uint32_t dim, rank;
  float scaling;
  size_t matrix() const { return static_cast<size_t>(rank) * dim; }
  size_t section() const { return 2 * matrix(); }
  size_t state() const { return 3 * section(); }
  // Room for the intermediate values of one user: two latents and one error per row, and the gradient.
  size_t scratch(uint32_t rows) const { return rows * (2 * static_cast<size_t>(rank) + dim) + section(); }
};

struct PeerStep {
  float learning_rate, max_grad_norm, ewc_lambda;
};

struct PeerReport {
  float loss, grad_norm;
  bool clipped;
};

struct Peer {
  const char* name;
  std::string (*version)();
  bool b_by_rank;
  // y = x + s·B·(A·x) for every row
  void (*apply)(const PeerShape& shape, const float* state, const float* x, uint32_t rows, float* y, float* scratch);
  // One SGD step with clipping, then EWC in its proximal form (docs/math.md)
  PeerReport (*update)(const PeerShape& shape, float* state, const float* x, const float* target, uint32_t rows,
                       const PeerStep& step, float* scratch);
};

const Peer* naive_peer();
const Peer* eigen_peer();
const Peer* openblas_peer();

}  // namespace lorakeet
