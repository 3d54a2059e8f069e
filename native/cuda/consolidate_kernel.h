// Online EWC for one slot, by one block: F ← γ·F + F_task, θ* ← θ, with the Gauss–Newton Fisher of the rows,
//
//   F_B[o,k] = s²·mean_i z[i,k]²         z = A·x
//   F_A[k,j] = s²·mean_i x[i,j]² · Σ_o B[o,k]²
//
// A batch with a slot whose new Fisher would not be finite must change nothing, so every batch runs twice: first with
// commit = 0, which only counts what is not finite, then with commit = 1, which stores.
//
// Data movement of one run: A is read once per chunk of rows, B once, rows twice (the second time from a cache), Fisher
// once; Fisher and anchor are written once. Squares are summed up in shared memory.
#pragma once

#include "products.h"

namespace lorakeet::cuda {

LORAKEET_BOTH uint32_t consolidate_shared_floats(const Model& model) {
  return (kChunk + 2) * model.rank_pitch() + model.in_pitch();
}

template <class State>
LORAKEET_DEVICE void consolidate_user(const Block& block, const ConsolidateBatch& batch, uint32_t index) {
  const Model& model = batch.model;
  const uint32_t in = model.in_pitch(), out = model.out_pitch(), pitch = model.rank_pitch();
  const uint32_t first = batch.row_offsets[index] - batch.first_row;
  const uint32_t rows = batch.row_offsets[index + 1] - batch.row_offsets[index];
  const Frame<State> frame(batch.frames[index], batch.layout);
  const float *a = frame.weights(), *b = a + model.rank * in;

  float* z = block.shared;                // [kChunk × rank']
  float* z_squares = z + kChunk * pitch;  // [rank']  Σ_i z²
  float* b_squares = z_squares + pitch;   // [rank']  Σ_o B²
  float* x_squares = b_squares + pitch;   // [in']    Σ_i x²

  block.for_each(pitch, [&](uint32_t k) { z_squares[k] = 0; });
  block.for_each(in, [&](uint32_t j) { x_squares[j] = 0; });
  block.reduce<1>(
      model.rank,
      [&](uint32_t k, uint32_t lane, float* sums) {
        for (uint32_t c = lane * kQuad; c < out; c += kLanes * kQuad) {
          const Quad values = load_quad(b + k * out + c);
          sums[0] = add_product(values, values, sums[0]);
        }
      },
      [&](uint32_t k, uint32_t, float sum) { b_squares[k] = sum; });

  for (uint32_t done = 0; done < rows; done += kChunk) {
    const uint32_t start = first + done, count = smaller(rows - done, kChunk);
    products<kQuad>(
        block, count, model.rank, in, [&](uint32_t i) { return batch.x[start + i]; },
        [&](uint32_t k) { return a + k * in; }, [&](uint32_t i, uint32_t k, float sum) { z[i * pitch + k] = sum; });
    block.for_each(model.rank, [&](uint32_t k) {
      float sum = 0;
      for (uint32_t i = 0; i < count; i++) sum = multiply_add(z[i * pitch + k], z[i * pitch + k], sum);
      z_squares[k] += sum;
    });
    block.for_each(in, [&](uint32_t j) {
      float sum = 0;
      for (uint32_t i = 0; i < count; i++) {
        const float x = batch.x[start + i][j];
        sum = multiply_add(x, x, sum);
      }
      x_squares[j] += sum;
    });
  }

  const float scale = model.scaling * model.scaling / static_cast<float>(rows);
  const uint32_t across = quads(in) + quads(out);
  // Four numbers of A or B at a time: at(p, new Fisher) for the number of the first in the section.
  const auto each = [&](uint32_t item, auto at) {
    const uint32_t k = item / across, q = item % across;
    const bool in_a = q < quads(in);
    const uint32_t column = (in_a ? q : q - quads(in)) * kQuad;
    const uint32_t p = in_a ? k * in + column : model.rank * in + k * out + column;
    Quad fisher = load_quad(frame.fisher() + p);
    LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) {
      const float task = in_a ? scale * x_squares[column + c] * b_squares[k] : scale * z_squares[k];
      fisher.v[c] = multiply_add(batch.decay, fisher.v[c], task);
    }
    return at(p, fisher);
  };
  if (batch.commit) {
    const uint32_t key = rounding_key(*frame.steps(), *frame.consolidations());
    block.for_each(model.rank * across, [&](uint32_t item) {
      each(item, [&](uint32_t p, const Quad& fisher) {
        store_fisher(frame.fisher() + p, fisher, key, p);
        store_quad(frame.anchor() + p, load_quad(frame.weights() + p));
      });
    });
    block.for_each(1, [&](uint32_t) { ++*frame.consolidations(); });
  } else {
    const double bad = block.sum(model.rank * across, [&](uint32_t item) {
      return each(item, [&](uint32_t, const Quad& fisher) {
        float count = 0;
        LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) {
          if (!finite(fisher.v[c])) count++;
        }
        return count;
      });
    });
    block.for_each(1, [&](uint32_t) { batch.not_finite[index] = bad > 0; });
  }
}

}  // namespace lorakeet::cuda
