// y = (residual: x +) s·B·(A·x) for a group of rows of one slot, by one team: a warp, or a block.
//
// Data movement: A, B and the rows are read once each, straight to registers; y is written once. Only s·A·x, a few
// numbers per row, goes through shared memory. While A is worked on, B is already on its way to the second-level cache.
#pragma once

#include "products.h"

namespace lorakeet::cuda {

// Of one team.
LORAKEET_BOTH uint32_t apply_shared_floats(const Model& model) { return kChunk * model.rank_pitch(); }

// Threads that work together: small adapters leave nothing to do for more than a warp.
LORAKEET_BOTH uint32_t apply_team(const Model& model) {
  return model.section() <= 4096 ? kLanes : model.section() <= 16384 ? 4 * kLanes : kMostThreads;
}

template <uint32_t kRows>
LORAKEET_DEVICE void apply_rows(const Block& block, const ApplyBatch& batch, const ApplyGroup& group) {
  const Model& model = batch.model;
  const uint32_t in = model.in_pitch(), out = model.out_pitch(), across = quads(out);
  const float *a = group.weights, *b = a + model.rank * in;
  float* hidden = block.shared;  // [kChunk × rank'] s·A·x
  block.prefetch(b, model.rank * out * sizeof(float));

  products<kRows>(
      block, group.count, model.rank, in, [&](uint32_t i) { return batch.x[group.first + i]; },
      [&](uint32_t k) { return a + k * in; },
      [&](uint32_t i, uint32_t k, float sum) { hidden[i * model.rank_pitch() + k] = model.scaling * sum; });

  // y[i, columns] = x[i, columns] + Σ_k B[columns, k]·hidden[i, k], kRows rows and four columns at a time
  block.for_each((group.count + kRows - 1) / kRows * across, [&](uint32_t item) {
    const uint32_t first = item / across * kRows, column = item % across * kQuad;
    Quad y[kRows] = {};
    add_combination<kRows>(y, hidden, first, group.count, model.rank, [&](uint32_t k) { return b + k * out + column; });
    LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) {
      const uint32_t row = group.first + first + i;
      if (first + i >= group.count) break;
      if (model.residual) y[i].add(1, load_quad(batch.x[row] + column));
      store_quad(batch.y + static_cast<uint64_t>(row) * out + column, y[i]);
    }
  });
}

LORAKEET_DEVICE void apply_group(const Block& block, const ApplyBatch& batch, uint32_t index) {
  const ApplyGroup group = batch.group[index];
  assume_global(group.weights);
  if (group.count == 1) {
    apply_rows<1>(block, batch, group);
  } else {
    apply_rows<kQuad>(block, batch, group);
  }
}

}  // namespace lorakeet::cuda
