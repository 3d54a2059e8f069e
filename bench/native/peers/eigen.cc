// Eigen: the formulas as expressions, with its means against needless temporaries.

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Dense>

#include "peer.h"

namespace lorakeet {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<Matrix>;
using ConstView = Eigen::Map<const Matrix>;
using ArrayView = Eigen::Map<Eigen::ArrayXf>;
using ConstArrayView = Eigen::Map<const Eigen::ArrayXf>;

void apply(const PeerShape& s, const float* state, const float* x_, uint32_t rows, float* y_, float* scratch) {
  const ConstView a(state, s.rank, s.dim), b(state + s.matrix(), s.rank, s.dim), x(x_, rows, s.dim);
  View y(y_, rows, s.dim), z(scratch, rows, s.rank);
  z.noalias() = s.scaling * (x * a.transpose());
  y = x;
  y.noalias() += z * b;
}

PeerReport update(const PeerShape& s, float* state, const float* x_, const float* target_, uint32_t rows,
                  const PeerStep& step, float* scratch) {
  const ConstView a(state, s.rank, s.dim), b(state + s.matrix(), s.rank, s.dim);
  const ConstView x(x_, rows, s.dim), target(target_, rows, s.dim);
  const size_t latents = static_cast<size_t>(rows) * s.rank, size = static_cast<size_t>(rows) * s.dim;
  float *e_ = scratch + 2 * latents, *grad_ = e_ + size;
  View z(scratch, rows, s.rank), back(scratch + latents, rows, s.rank), e(e_, rows, s.dim);
  View grad_a(grad_, s.rank, s.dim), grad_b(grad_ + s.matrix(), s.rank, s.dim);
  z.noalias() = s.scaling * (x * a.transpose());
  e = x - target;
  e.noalias() += z * b;
  const float mean = 1 / static_cast<float>(size), loss = e.squaredNorm() * mean;
  e *= 2 * mean;
  grad_b.noalias() = z.transpose() * e;
  back.noalias() = s.scaling * (e * b.transpose());
  grad_a.noalias() = back.transpose() * x;

  const ConstArrayView grad(grad_, s.section()), fisher(state + s.section(), s.section()),
      anchor(state + 2 * s.section(), s.section());
  ArrayView weights(state, s.section());
  const float norm = grad.matrix().norm();
  const bool clipped = norm > step.max_grad_norm;
  const float rate = clipped ? step.learning_rate * step.max_grad_norm / norm : step.learning_rate;
  const float pull = step.learning_rate * step.ewc_lambda;
  weights = (weights - rate * grad + pull * fisher * anchor) / (1 + pull * fisher);
  return {loss, norm, clipped};
}

std::string version() {
  return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
         std::to_string(EIGEN_MINOR_VERSION) + ", " + Eigen::SimdInstructionSetsInUse();
}

}  // namespace

const Peer* eigen_peer() {
  static const Peer peer{"eigen", version, true, apply, update};
  return &peer;
}

}  // namespace lorakeet
