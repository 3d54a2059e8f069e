// Online EWC for one slot, by one block: F ← γ·F + F_task, θ* ← θ, with the Gauss–Newton Fisher of the rows,
//
//   F_B[o,k] = s²·mean_i z[i,k]²         z = A·x
//   F_A[k,j] = s²·mean_i x[i,j]² · Σ_o B[o,k]²
//
// A batch with a slot whose new Fisher would not be finite must change nothing, so every batch runs twice: first with
// commit = 0, which only counts what is not finite, then with commit = 1, which stores.
//
// Data movement of one run: weights are read once per chunk of kChunk rows, rows once, Fisher once (and written).
#pragma once

#include <math.h>

#include "batch.h"

namespace lorakeet::cuda {

LORAKEET_BOTH uint32_t consolidate_shared_floats(const Model& model) { return (kChunk + 2) * model.rank; }

LORAKEET_BOTH uint64_t consolidate_scratch_floats(const Model& model) { return model.in_features; }

LORAKEET_DEVICE void consolidate_user(const Block& block, const ConsolidateBatch& batch, uint32_t index,
                                      float* scratch) {
  const Model& model = batch.model;
  const uint32_t rank = model.rank, in = model.in_features, out = model.out_features;
  const uint32_t loraA_length = model.loraA_length(), parameters = model.parameters();
  const uint32_t first = batch.row_offsets[index], rows = batch.row_offsets[index + 1] - first;
  float* weights = batch.slots[index].slab;
  float* fisher = weights + parameters;
  float* anchor = fisher + parameters;
  const float* loraA = weights;
  const float* loraB = weights + loraA_length;

  float* z = block.shared;               // [kChunk × rank]
  float* z_squares = z + kChunk * rank;  // [rank]  Σ_i z²
  float* b_squares = z_squares + rank;   // [rank]  Σ_o B²
  float* x_squares = scratch;            // [in]    Σ_i x²

  block.for_each(rank, [&](uint32_t k) { z_squares[k] = 0; });
  block.for_each(in, [&](uint32_t j) { x_squares[j] = 0; });
  block.dots(
      rank, out, [&](uint32_t k, uint32_t o) { return loraB[o * rank + k] * loraB[o * rank + k]; },
      [&](uint32_t k, float dot) { b_squares[k] = dot; });

  for (uint32_t done = 0; done < rows; done += kChunk) {
    const uint32_t start = first + done, count = rows - done < kChunk ? rows - done : kChunk;
    block.dots(
        count * rank, in,
        [&](uint32_t c, uint32_t j) { return loraA[c % rank * in + j] * batch.x[start + c / rank][j]; },
        [&](uint32_t c, float dot) { z[c] = dot; });
    block.for_each(rank, [&](uint32_t k) {
      float sum = 0;
      for (uint32_t i = 0; i < count; i++) sum += z[i * rank + k] * z[i * rank + k];
      z_squares[k] += sum;
    });
    block.for_each(in, [&](uint32_t j) {
      float sum = 0;
      for (uint32_t i = 0; i < count; i++) sum += batch.x[start + i][j] * batch.x[start + i][j];
      x_squares[j] += sum;
    });
  }

  const float scale = model.scaling * model.scaling / static_cast<float>(rows);
  const auto next = [&](uint32_t p) {
    const float task =
        p < loraA_length ? scale * x_squares[p % in] * b_squares[p / in] : scale * z_squares[(p - loraA_length) % rank];
    return batch.decay * fisher[p] + task;
  };
  if (batch.commit) {
    block.for_each(parameters, [&](uint32_t p) {
      fisher[p] = next(p);
      anchor[p] = weights[p];
    });
  } else {
    const double bad = block.sum(parameters, [&](uint32_t p) { return isfinite(next(p)) ? 0.0f : 1.0f; });
    block.for_each(1, [&](uint32_t) { batch.not_finite[index] = bad > 0; });
  }
}

}  // namespace lorakeet::cuda
