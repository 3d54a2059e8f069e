// y = (residual: x +) s·B·(A·x), one block per row.
//
// Reads A, B and x once, writes y once; the rank numbers in between stay in shared memory.
#pragma once

#include "batch.h"

namespace lorakeet::cuda {

LORAKEET_BOTH uint32_t apply_shared_floats(const Model& model) { return model.rank; }

LORAKEET_DEVICE void apply_row(const Block& block, const ApplyBatch& batch, uint32_t row) {
  const Model& model = batch.model;
  const uint32_t rank = model.rank, in = model.in_features, out = model.out_features;
  const float* loraA = batch.slots[row].slab;
  const float* loraB = loraA + model.loraA_length();
  const float* x = batch.x[row];
  float* y = batch.y + static_cast<uint64_t>(row) * out;
  float* hidden = block.shared;  // [rank] s·A·x

  block.dots(
      rank, in, [&](uint32_t k, uint32_t j) { return loraA[k * in + j] * x[j]; },
      [&](uint32_t k, float dot) { hidden[k] = model.scaling * dot; });

  block.for_each(out, [&](uint32_t o) {
    float sum = 0;
    for (uint32_t k = 0; k < rank; k++) sum += loraB[o * rank + k] * hidden[k];
    y[o] = model.residual ? x[o] + sum : sum;
  });
}

}  // namespace lorakeet::cuda
