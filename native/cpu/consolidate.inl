// The operation `consolidate`. Part of kernels.inl.
#pragma once

#include "products.inl"
#include "step.inl"

namespace lorakeet {
namespace {

// F ← γF + F_task with the Gauss–Newton Fisher of squared error, per row:
//   F_A[k][j] = s²·E[x_j²]·Σ_o B[o][k]²      F_B[o][k] = s²·E[z_k²],  z = A·x      anchor ← θ

// Number `index` and its neighbours of the new Fisher.
LORAKEET_INLINE void store_fisher(float* fisher, size_t index, Vec next, uint32_t) { store(fisher + index, next); }
LORAKEET_INLINE void store_fisher(Bf16* fisher, size_t index, Vec next, uint32_t key) {
  float lanes[kWidth];
  store(lanes, next);
  for (int i = 0; i < kWidth; i++) fisher[index + i] = stochastic(lanes[i], key, static_cast<uint32_t>(index) + i);
}

LORAKEET_INLINE void store_anchor(float* anchor, const float* weights, size_t count) {
  memcpy(anchor, weights, count * sizeof(float));
}
LORAKEET_INLINE void store_anchor(Bf16* anchor, const float* weights, size_t count) {
  for (size_t j = 0; j < count; j++) anchor[j] = nearest(weights[j]);
}

// State: what Fisher and anchor are kept as.
template <typename State>
static bool consolidate_into(const SlotShape& shape, const Hyperparameters& hyper, const SlotConsolidation& job,
                             const Scratch& scratch, bool commit) {
  const uint32_t rank = shape.rank;
  float* squares = scratch.gradient;    // Σ x_j², padded; the rest of the section holds the new Fisher
  float* b_squares = scratch.backward;  // Σ_o B[o][k]²
  Ahead nothing;
  double z_squares[256];
  memset(squares, 0, padded(shape.in_tiles) * sizeof(float));
  for (uint32_t k = 0; k < rank; k++) z_squares[k] = 0;
  for (uint32_t done = 0; done < job.rows; done += kChunk) {
    const uint32_t n = job.rows - done < kChunk ? job.rows - done : kChunk;
    const float* rows[kChunk];
    resolve_rows(job.x, shape.in_tiles, static_cast<size_t>(job.first_row) + done, n, scratch.rows, rows);
    project(job.slot.weights, AnyRank{rank}, shape.in_tiles, rows, n, hyper.scaling, scratch.hidden, nothing);  // s·z
    for (uint32_t i = 0; i < n; i++) {
      const float* hidden = scratch.hidden + static_cast<size_t>(i) * rank;
      for (uint32_t k = 0; k < rank; k++) z_squares[k] += static_cast<double>(hidden[k]) * hidden[k];
      for (size_t j = 0; j < padded(shape.in_tiles); j += kWidth) {
        const Vec x = load(rows[i] + j);
        store(squares + j, fma(x, x, load(squares + j)));
      }
    }
  }
  const float* bt = job.slot.weights + shape.loraB;
  const double rows_inverse = 1.0 / job.rows;
  const float s2_mean = static_cast<float>(static_cast<double>(hyper.scaling) * hyper.scaling * rows_inverse);
  for (uint32_t k = 0; k < rank; k++) {
    Vec total = zero();
    for (uint32_t tile = 0; tile < shape.out_tiles; tile++) {
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
        const Vec b = load(bt + (static_cast<size_t>(tile) * rank + k) * kTile + part * kWidth);
        total = fma(b, b, total);
      }
    }
    b_squares[k] = sum(total) * s2_mean;
  }

  State* fisher = section_at<State>(job.slot, shape.fisher);
  size_t at = 0;
  const Vec decay = broadcast(job.decay);
  Vec check = zero();
  const uint32_t tiles[2] = {shape.in_tiles, shape.out_tiles};
  for (int matrix = 0; matrix < 2; matrix++) {
    for (uint32_t tile = 0; tile < tiles[matrix]; tile++) {
      for (uint32_t k = 0; k < rank; k++, at += kTile) {
        LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
          const Vec task = matrix ? broadcast(static_cast<float>(z_squares[k] * rows_inverse))
                                  : mul(broadcast(b_squares[k]), load(squares + tile * kTile + part * kWidth));
          const Vec next = fma(decay, load(fisher + at + part * kWidth), task);
          check = add(check, sub(next, next));
          if (commit) store_fisher(fisher, at + part * kWidth, next, job.rounding_key);
        }
      }
    }
  }
  if (!all_finite(check)) return false;
  if (commit) store_anchor(section_at<State>(job.slot, shape.anchor), job.slot.weights, shape.section);
  return true;
}

static bool consolidate(const SlotShape& shape, const Hyperparameters& hyper, const SlotConsolidation& job,
                        const Scratch& scratch, bool commit) {
  return shape.bf16 ? consolidate_into<Bf16>(shape, hyper, job, scratch, commit)
                    : consolidate_into<float>(shape, hyper, job, scratch, commit);
}

}  // namespace
}  // namespace lorakeet
