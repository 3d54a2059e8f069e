// The error of an update: what its forward pass misses the targets by. Part of kernels.inl.
#pragma once

#include "products.inl"

namespace lorakeet {
namespace {

// errors[i] = y_i − t_i. Where rows and targets are is read anew for every block: kept in registers, so many pointers
// would spill into vector registers, and those are taken.
template <int Rows, int Tiles, bool Residual, typename Rank>
LORAKEET_INLINE void error_block(const float* tile, Rank rank, const float* hidden, const float* const* rows,
                                 const float* const* targets, size_t at, float* errors, size_t stride,
                                 Vec (&squares)[Rows]) {
  Vec e[Rows][Tiles * kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
      const Vec base = Residual ? load(rows[i] + at + c * kWidth) : zero();
      e[i][c] = sub(base, load(targets[i] + at + c * kWidth));
    }
  }
  expand_block<Rows, Tiles>(tile, rank, hidden, e);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
      store(errors + i * stride + at + c * kWidth, e[i][c]);
      squares[i] = fma(e[i][c], e[i][c], squares[i]);
    }
  }
}

// The errors of `Rows` rows over all tiles; squares[i] becomes the sum of their squares, lane by lane.
template <int Rows, bool Residual, typename Rank>
LORAKEET_NOINLINE void error_rows(const float* bt, Rank rank, uint32_t tiles, const float* hidden,
                                  const float* const* row, const float* const* target, float* errors, size_t stride,
                                  Vec* squares, Ahead& ahead) {
  constexpr int kTiles = expand_tiles(Rows, Rank::kMost);
  Vec sums[Rows];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) sums[i] = zero();
  uint32_t t = 0;
  for (; t + kTiles <= tiles; t += kTiles, bt += padded(kTiles) * rank) {
    ahead.worked(Rows * kTiles * rank);
    error_block<Rows, kTiles, Residual>(bt, rank, hidden, row, target, padded(t), errors, stride, sums);
  }
  if constexpr (kTiles > 1) {
    for (; t < tiles; t++, bt += padded(1) * rank) {
      ahead.worked(Rows * rank);
      error_block<Rows, 1, Residual>(bt, rank, hidden, row, target, padded(t), errors, stride, sums);
    }
  }
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) squares[i] = sums[i];
}

template <bool Residual, typename Rank>
LORAKEET_INLINE void error_chunk(const float* bt, Rank rank, uint32_t tiles, const float* hidden,
                                 const float* const* rows, const float* const* targets, uint32_t n, float* errors,
                                 Vec* squares, Ahead& ahead) {
  const size_t stride = row_stride(tiles);
  uint32_t i = 0;
  expand_in_rows(rank, tiles, n, [&](auto rows_at_a_time) {
    error_rows<decltype(rows_at_a_time)::kMost, Residual>(bt, rank, tiles, hidden + i * rank, rows + i, targets + i,
                                                          errors + i * stride, stride, squares + i, ahead);
    i += rows_at_a_time;
  });
}

struct ErrorSums {
  float weighted, plain;  // Σ c_i·|e_i|², Σ |e_i|²
};

template <typename Rank>
LORAKEET_INLINE ErrorSums error_pass(const float* bt, Rank rank, uint32_t tiles, const float* hidden,
                                     const float* const* rows, const float* const* targets, const float* coefficient,
                                     uint32_t n, float* errors, Ahead& ahead) {
  Vec squares[kChunk];
  if (rows) {
    error_chunk<true>(bt, rank, tiles, hidden, rows, targets, n, errors, squares, ahead);
  } else {
    error_chunk<false>(bt, rank, tiles, hidden, targets, targets, n, errors, squares, ahead);
  }
  Vec weighted = zero(), plain = zero();
  for (uint32_t i = 0; i < n; i++) {
    weighted = fma(squares[i], broadcast(coefficient[i]), weighted);
    plain = add(plain, squares[i]);
  }
  float sums[4];
  store_sums(sums, 1.0f, weighted, plain, zero(), zero());
  return {sums[0], sums[1]};
}

}  // namespace
}  // namespace lorakeet
