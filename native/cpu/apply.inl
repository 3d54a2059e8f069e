// The operation `apply`. Part of kernels.inl.
#pragma once

#include "products.inl"

namespace lorakeet {
namespace {

// ---- y = (x +) B·hidden

template <int Rows, int Tiles>
LORAKEET_INLINE void apply_block(const float* tile, uint32_t rank, const float* hidden, const float* const* rows,
                                 size_t at, float* const* y) {
  Vec sums[Rows][Tiles * kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    const float* x = rows ? rows[i] + at : nullptr;
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) sums[i][c] = x ? load(x + c * kWidth) : zero();
  }
  expand_block<Rows, Tiles>(tile, rank, hidden, sums);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    float* out = y[i] + at;
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) store(out + c * kWidth, sums[i][c]);
  }
}

template <int Tiles>
LORAKEET_INLINE void apply_tiles(const float* bt, uint32_t rank, const float* hidden, const float* const* rows,
                                 uint32_t n, uint32_t tile, float* const* y, Ahead& ahead) {
  ahead.worked(n * rank * Tiles);
  const float* b = bt + padded(tile) * rank;
  uint32_t i = 0;
  for (; i + kExpandRows <= n; i += kExpandRows) {
    apply_block<kExpandRows, Tiles>(b, rank, hidden + static_cast<size_t>(i) * rank, rows ? rows + i : nullptr,
                                    padded(tile), y + i);
  }
  for (; i < n; i++) {
    apply_block<1, Tiles>(b, rank, hidden + static_cast<size_t>(i) * rank, rows ? rows + i : nullptr, padded(tile),
                          y + i);
  }
}

static void apply(const SlotShape& shape, const Hyperparameters& hyper, const float* weights, const float* next,
                  const RowSource& x, uint32_t first_row, uint32_t count, float* y, const Scratch& scratch) {
  const uint32_t rank = shape.rank;
  Ahead ahead;
  if (next) {
    ahead.add(next, shape.section * sizeof(float));
    ahead.spread_over(static_cast<double>(count) * static_cast<double>(shape.section) / kTile);
  }
  const float* bt = weights + shape.loraB;
  const bool whole_tiles = shape.out_features % kTile == 0;
  for (uint32_t done = 0; done < count; done += kChunk) {
    const uint32_t n = count - done < kChunk ? count - done : kChunk;
    const float* rows[kChunk];
    float* out[kChunk];
    resolve_rows(x, shape.in_tiles, static_cast<size_t>(first_row) + done, n, scratch.rows, rows);
    project(weights, rank, shape.in_tiles, rows, n, hyper.scaling, scratch.hidden, ahead);
    float* dense = y + static_cast<size_t>(done) * shape.out_features;
    for (uint32_t i = 0; i < n; i++) {
      out[i] = whole_tiles ? dense + static_cast<size_t>(i) * shape.out_features
                           : scratch.errors + i * row_stride(shape.out_tiles);
    }
    const float* const* base = hyper.residual ? rows : nullptr;
    uint32_t t = 0;
    for (; t + kBlockTiles <= shape.out_tiles; t += kBlockTiles) {
      apply_tiles<kBlockTiles>(bt, rank, scratch.hidden, base, n, t, out, ahead);
    }
    for (; t < shape.out_tiles; t++) apply_tiles<1>(bt, rank, scratch.hidden, base, n, t, out, ahead);
    if (!whole_tiles) {
      for (uint32_t i = 0; i < n; i++) {
        memcpy(dense + static_cast<size_t>(i) * shape.out_features, out[i], shape.out_features * sizeof(float));
      }
    }
  }
}

}  // namespace
}  // namespace lorakeet
