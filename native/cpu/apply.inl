// The operation `apply`. Part of kernels.inl.
#pragma once

#include "products.inl"

namespace lorakeet {
namespace {

// ---- y = (x +) B·hidden

template <int Rows, int Tiles, typename Rank>
LORAKEET_INLINE void apply_block(const float* tile, Rank rank, const float* hidden, const float* const (&rows)[Rows],
                                 float* const (&y)[Rows], size_t at) {
  Vec sums[Rows][Tiles * kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
      sums[i][c] = rows[i] ? load(rows[i] + at + c * kWidth) : zero();
    }
  }
  expand_block<Rows, Tiles>(tile, rank, hidden, sums);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) store(y[i] + at + c * kWidth, sums[i][c]);
  }
}

template <int Rows, typename Rank>
LORAKEET_NOINLINE void apply_rows(const float* bt, Rank rank, uint32_t tiles, const float* hidden,
                                  const float* const* row, float* const* out, Ahead& ahead) {
  constexpr int kTiles = expand_tiles(Rows, Rank::kMost);
  const float* rows[Rows];
  float* y[Rows];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    rows[i] = row ? row[i] : nullptr;
    y[i] = out[i];
  }
  uint32_t t = 0;
  for (; t + kTiles <= tiles; t += kTiles, bt += padded(kTiles) * rank) {
    ahead.worked(Rows * kTiles * rank);
    apply_block<Rows, kTiles>(bt, rank, hidden, rows, y, padded(t));
  }
  if constexpr (kTiles > 1) {
    for (; t < tiles; t++, bt += padded(1) * rank) {
      ahead.worked(Rows * rank);
      apply_block<Rows, 1>(bt, rank, hidden, rows, y, padded(t));
    }
  }
}

template <typename Rank>
static void apply_at(const SlotShape& shape, Rank rank, const Hyperparameters& hyper, const float* weights,
                     const float* next, const RowSource& x, uint32_t first_row, uint32_t count, float* y,
                     const Scratch& scratch) {
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
    uint32_t i = 0;
    expand_in_rows(rank, shape.out_tiles, n, [&](auto rows_at_a_time) {
      apply_rows<decltype(rows_at_a_time)::kMost>(bt, rank, shape.out_tiles, scratch.hidden + i * rank,
                                                  hyper.residual ? rows + i : nullptr, out + i, ahead);
      i += rows_at_a_time;
    });
    if (!whole_tiles) {
      for (uint32_t row = 0; row < n; row++) {
        memcpy(dense + static_cast<size_t>(row) * shape.out_features, out[row], shape.out_features * sizeof(float));
      }
    }
  }
}

static void apply(const SlotShape& shape, const Hyperparameters& hyper, const float* weights, const float* next,
                  const RowSource& x, uint32_t first_row, uint32_t count, float* y, const Scratch& scratch) {
  with_rank(shape.rank,
            [&](auto rank) { apply_at(shape, rank, hyper, weights, next, x, first_row, count, y, scratch); });
}

}  // namespace
}  // namespace lorakeet
