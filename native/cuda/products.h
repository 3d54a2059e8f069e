// The two matrix products that every kernel is made of.
#pragma once

#include "batch.h"

namespace lorakeet::cuda {

// store(i, k, Σ_c row(i)[c]·vector(k)[c]) for every i < rows and k < rank, and 0 for rank ≤ k < rank'.
//
// One warp works on kRows rows × 4 ranks at a time, its lanes on four columns each: what a lane loads it uses four
// times. A sum's order does not depend on kRows, so that a row's result does not depend on how many come with it.
template <uint32_t kRows, class Row, class Vector, class Store>
LORAKEET_DEVICE void products(const Block& block, uint32_t rows, uint32_t rank, uint32_t columns, Row row,
                              Vector vector, Store store) {
  const uint32_t across = quads(rank);
  block.reduce<kRows * kQuad>(
      across * ((rows + kRows - 1) / kRows),
      [&](uint32_t tile, uint32_t lane, float* sums) {
        const uint32_t first = tile / across * kRows, k = tile % across * kQuad;
        // Beyond the last row or rank the last one is worked on again; nobody looks at the result.
        const float *x[kRows], *v[kQuad];
        LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) x[i] = row(smaller(first + i, rows - 1));
        LORAKEET_UNROLL for (uint32_t j = 0; j < kQuad; j++) v[j] = vector(smaller(k + j, rank - 1));
        LORAKEET_NO_UNROLL for (uint32_t c = lane * kQuad; c < columns; c += kLanes * kQuad) {
          Quad xs[kRows];
          LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) xs[i] = load_quad(x[i] + c);
          LORAKEET_UNROLL for (uint32_t j = 0; j < kQuad; j++) {
            const Quad vs = load_quad(v[j] + c);
            LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) {
              sums[i * kQuad + j] = add_product(xs[i], vs, sums[i * kQuad + j]);
            }
          }
        }
      },
      [&](uint32_t tile, uint32_t value, float sum) {
        const uint32_t i = tile / across * kRows + value / kQuad, k = tile % across * kQuad + value % kQuad;
        if (i < rows) store(i, k, k < rank ? sum : 0);
      });
}

// totals[i] += Σ_k hidden[(first + i)·rank' + k]·vector(k)[0 … 3] for kRows rows; `hidden` is zero for k ≥ rank.
template <uint32_t kRows, class Vector>
LORAKEET_DEVICE void add_combination(Quad (&totals)[kRows], const float* hidden, uint32_t first, uint32_t rows,
                                     uint32_t rank, Vector vector) {
  const uint32_t pitch = quads(rank) * kQuad;
  LORAKEET_NO_UNROLL for (uint32_t k = 0; k < rank; k += kQuad) {
    Quad h[kRows];
    LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) {
      h[i] = load_quad(hidden + smaller(first + i, rows - 1) * pitch + k);
    }
    LORAKEET_UNROLL for (uint32_t j = 0; j < kQuad; j++) {
      const Quad v = load_quad(vector(smaller(k + j, rank - 1)));
      LORAKEET_UNROLL for (uint32_t i = 0; i < kRows; i++) totals[i].add(h[i].v[j], v);
    }
  }
}

}  // namespace lorakeet::cuda
