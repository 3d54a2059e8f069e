// The error of an update: what its forward pass misses the targets by. Part of kernels.inl.
#pragma once

#include "products.inl"

namespace lorakeet {
namespace {

// errors[i] = y_i − t_i
template <int Rows, int Tiles, bool Residual>
LORAKEET_INLINE void error_block(const float* tile, uint32_t rank, const float* hidden,
                                 const float* const (&rows)[Rows], const float* const (&targets)[Rows], size_t at,
                                 float* errors, size_t stride, Vec (&squares)[Rows]) {
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
template <int Rows, bool Residual>
LORAKEET_NOINLINE void error_rows(const float* bt, uint32_t rank, uint32_t tiles, const float* hidden,
                                  const float* const* row, const float* const* target, float* errors, size_t stride,
                                  Vec* squares, Ahead& ahead) {
  const float *rows[Rows], *targets[Rows];
  Vec sums[Rows];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    rows[i] = Residual ? row[i] : nullptr;
    targets[i] = target[i];
    sums[i] = zero();
  }
  uint32_t t = 0;
  for (; t + kBlockTiles <= tiles; t += kBlockTiles, bt += padded(kBlockTiles) * rank) {
    ahead.worked(Rows * kBlockTiles * rank);
    error_block<Rows, kBlockTiles, Residual>(bt, rank, hidden, rows, targets, padded(t), errors, stride, sums);
  }
  for (; t < tiles; t++, bt += padded(1) * rank) {
    ahead.worked(Rows * rank);
    error_block<Rows, 1, Residual>(bt, rank, hidden, rows, targets, padded(t), errors, stride, sums);
  }
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) squares[i] = sums[i];
}

template <bool Residual>
LORAKEET_INLINE void error_chunk(const SlotShape& shape, const float* bt, const float* hidden, const float* const* rows,
                                 const float* const* targets, uint32_t n, float* errors, Vec* squares, Ahead& ahead) {
  const size_t stride = row_stride(shape.out_tiles);
  uint32_t i = 0;
  for (; i + kExpandRows <= n; i += kExpandRows) {
    error_rows<kExpandRows, Residual>(bt, shape.rank, shape.out_tiles, hidden + static_cast<size_t>(i) * shape.rank,
                                      rows + i, targets + i, errors + i * stride, stride, squares + i, ahead);
  }
  for (; i < n; i++) {
    error_rows<1, Residual>(bt, shape.rank, shape.out_tiles, hidden + static_cast<size_t>(i) * shape.rank, rows + i,
                            targets + i, errors + i * stride, stride, squares + i, ahead);
  }
}

// Returns Σ c_i·|e_i|².
static float error_pass(const SlotShape& shape, const float* bt, const float* hidden, const float* const* rows,
                        const float* const* targets, const float* coefficient, uint32_t n, float* errors,
                        Ahead& ahead) {
  Vec squares[kChunk];
  if (rows) {
    error_chunk<true>(shape, bt, hidden, rows, targets, n, errors, squares, ahead);
  } else {
    error_chunk<false>(shape, bt, hidden, targets, targets, n, errors, squares, ahead);
  }
  Vec loss = zero();
  for (uint32_t i = 0; i < n; i++) loss = fma(squares[i], broadcast(coefficient[i]), loss);
  return sum(loss);
}

}  // namespace
}  // namespace lorakeet
