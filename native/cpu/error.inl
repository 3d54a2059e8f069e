// The error of an update: what its forward pass misses the targets by. Part of kernels.inl.
#pragma once

#include "products.inl"

namespace lorakeet {
namespace {

// ---- errors[i] = y_i − t_i; squares[i] += its squares, lane by lane

template <int Rows, int Tiles>
LORAKEET_INLINE void error_block(const float* tile, uint32_t rank, const float* hidden, const float* const* rows,
                                 const float* const* targets, size_t at, float* errors, size_t stride, Vec* squares) {
  Vec e[Rows][Tiles * kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    const float* t = targets[i] + at;
    const float* x = rows ? rows[i] + at : nullptr;
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
      e[i][c] = sub(x ? load(x + c * kWidth) : zero(), load(t + c * kWidth));
    }
  }
  expand_block<Rows, Tiles>(tile, rank, hidden, e);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    float* error = errors + i * stride + at;
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) store(error + c * kWidth, e[i][c]);
    Vec row = squares[i];
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) row = fma(e[i][c], e[i][c], row);
    squares[i] = row;
  }
}

template <int Tiles>
LORAKEET_NOINLINE void error_tiles(const float* bt, uint32_t rank, const float* hidden, const float* const* rows,
                                   const float* const* targets, uint32_t n, uint32_t tile, float* errors, size_t stride,
                                   Vec* squares, Ahead& ahead) {
  ahead.worked(n * rank * Tiles);
  const float* b = bt + padded(tile) * rank;
  uint32_t i = 0;
  for (; i + kExpandRows <= n; i += kExpandRows) {
    error_block<kExpandRows, Tiles>(b, rank, hidden + static_cast<size_t>(i) * rank, rows ? rows + i : nullptr,
                                    targets + i, padded(tile), errors + i * stride, stride, squares + i);
  }
  for (; i < n; i++) {
    error_block<1, Tiles>(b, rank, hidden + static_cast<size_t>(i) * rank, rows ? rows + i : nullptr, targets + i,
                          padded(tile), errors + i * stride, stride, squares + i);
  }
}

// Returns Σ c_i·|e_i|².
static float error_pass(const SlotShape& shape, const float* bt, const float* hidden, const float* const* rows,
                        const float* const* targets, const float* coefficient, uint32_t n, float* errors,
                        Ahead& ahead) {
  const size_t stride = row_stride(shape.out_tiles);
  Vec squares[kChunk];
  for (uint32_t i = 0; i < n; i++) squares[i] = zero();
  uint32_t t = 0;
  for (; t + kBlockTiles <= shape.out_tiles; t += kBlockTiles) {
    error_tiles<kBlockTiles>(bt, shape.rank, hidden, rows, targets, n, t, errors, stride, squares, ahead);
  }
  for (; t < shape.out_tiles; t++) {
    error_tiles<1>(bt, shape.rank, hidden, rows, targets, n, t, errors, stride, squares, ahead);
  }
  Vec loss = zero();
  for (uint32_t i = 0; i < n; i++) loss = fma(squares[i], broadcast(coefficient[i]), loss);
  return sum(loss);
}

}  // namespace
}  // namespace lorakeet
