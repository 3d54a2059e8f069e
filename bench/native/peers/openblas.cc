// OpenBLAS for the products, one thread; what lies between them in as few passes as it takes. A single row uses the
// matrix-vector routines.

#include <cblas.h>
#include <math.h>

#include "peer.h"

namespace lorakeet {
namespace {

// z[rows][rank] = scale · x[rows][dim] · aᵀ
void project(const PeerShape& s, const float* a, const float* x, int rows, float scale, float* z) {
  const int dim = static_cast<int>(s.dim), rank = static_cast<int>(s.rank);
  if (rows == 1) return cblas_sgemv(CblasRowMajor, CblasNoTrans, rank, dim, scale, a, dim, x, 1, 0, z, 1);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, rank, dim, scale, x, dim, a, dim, 0, z, rank);
}

// y[rows][dim] += scale · z[rows][rank] · b[rank][dim]
void expand(const PeerShape& s, const float* b, const float* z, int rows, float scale, float* y) {
  const int dim = static_cast<int>(s.dim), rank = static_cast<int>(s.rank);
  if (rows == 1) return cblas_sgemv(CblasRowMajor, CblasTrans, rank, dim, scale, b, dim, z, 1, 1, y, 1);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, dim, rank, scale, z, rank, b, dim, 1, y, dim);
}

// out[rank][dim] = scale · zᵀ · x
void outer(const PeerShape& s, const float* z, const float* x, int rows, float scale, float* out) {
  const int dim = static_cast<int>(s.dim), rank = static_cast<int>(s.rank);
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rank, dim, rows, scale, z, rank, x, dim, 0, out, dim);
}

void apply(const PeerShape& s, const float* state, const float* x, uint32_t rows, float* y, float* z) {
  const int n = static_cast<int>(rows);
  project(s, state, x, n, 1, z);
  for (size_t i = 0; i < static_cast<size_t>(rows) * s.dim; i++) y[i] = x[i];
  expand(s, state + s.matrix(), z, n, s.scaling, y);
}

PeerReport update(const PeerShape& s, float* state, const float* x, const float* target, uint32_t rows,
                  const PeerStep& step, float* scratch) {
  const int n = static_cast<int>(rows);
  const size_t size = static_cast<size_t>(rows) * s.dim, latents = static_cast<size_t>(rows) * s.rank;
  const float* b = state + s.matrix();
  float *z = scratch, *back = z + latents, *e = back + latents, *grad = e + size;
  project(s, state, x, n, 1, z);
  for (size_t i = 0; i < size; i++) e[i] = x[i] - target[i];
  expand(s, b, z, n, s.scaling, e);
  float squares = 0;
  for (size_t i = 0; i < size; i++) squares += e[i] * e[i];
  const float loss = squares / static_cast<float>(size);
  // the factor 2/(rows·dim) of the gradient and the scaling go into the products
  const float scale = 2 * s.scaling / static_cast<float>(size);
  outer(s, z, e, n, scale, grad + s.matrix());
  project(s, b, e, n, scale, back);
  outer(s, back, x, n, 1, grad);
  squares = 0;
  for (size_t i = 0; i < s.section(); i++) squares += grad[i] * grad[i];
  const float norm = sqrtf(squares);
  const bool clipped = norm > step.max_grad_norm;
  const float rate = clipped ? step.learning_rate * step.max_grad_norm / norm : step.learning_rate;
  const float pull = step.learning_rate * step.ewc_lambda;
  const float *fisher = state + s.section(), *anchor = fisher + s.section();
  for (size_t i = 0; i < s.section(); i++) {
    const float strength = pull * fisher[i];
    state[i] = (state[i] - rate * grad[i] + strength * anchor[i]) / (1 + strength);
  }
  return {loss, norm, clipped};
}

}  // namespace

const Peer* openblas_peer() {
  openblas_set_num_threads(1);
  static const Peer peer{"openblas", [] { return std::string(openblas_get_config()); }, true, apply, update};
  return &peer;
}

}  // namespace lorakeet
