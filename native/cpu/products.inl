// The kernels' matrix products, on rows and tile-major matrices; see slot.h for the layout. Part of kernels.inl.
#pragma once

#include <string.h>

#include "slot.h"
#include "vec.h"

#if defined(__GNUC__)
#define LORAKEET_UNROLL _Pragma("GCC unroll 16")
#else
#define LORAKEET_UNROLL
#endif

namespace lorakeet {
namespace {

constexpr int kSub = kTile / kWidth;                  // vectors per tile
constexpr int kRankBlock = kRegisters == 32 ? 8 : 4;  // ranks × rows of accumulators that fit the registers
constexpr int kRowBlock = kRegisters == 32 || kWidth == 8 ? 3 : 2;
constexpr int kExpandRows = 4;

LORAKEET_INLINE size_t padded(uint32_t tiles) { return static_cast<size_t>(tiles) * kTile; }

// Rows of scratch are this far apart: a stride that is no power of two keeps them out of each other's cache sets.
LORAKEET_INLINE size_t row_stride(uint32_t tiles) { return padded(tiles) + kTile; }

// ---- rows

// Points rows[i] at row first + i, padded with zeros to whole tiles: in place where it already is, else through
// `copies`.
LORAKEET_INLINE void resolve_rows(const RowSource& source, uint32_t tiles, size_t first, uint32_t count, float* copies,
                                  const float** rows) {
  if (source.ids) {
    for (uint32_t i = 0; i < count; i++) rows[i] = source.table + source.ids[first + i] * padded(tiles);
    return;
  }
  const float* vectors = source.vectors + first * source.features;
  const bool whole_tiles = source.features % kTile == 0;
  for (uint32_t i = 0; i < count; i++) {
    const float* row = vectors + static_cast<size_t>(i) * source.features;
    if (whole_tiles) {
      rows[i] = row;
      continue;
    }
    float* copy = copies + i * row_stride(tiles);
    memcpy(copy, row, source.features * sizeof(float));
    memset(copy + source.features, 0, (padded(tiles) - source.features) * sizeof(float));
    rows[i] = copy;
  }
}

// ---- out[i][k] = scale · Σ_d M[k][d]·row_i[d]
// Reads M once per block of rows; a block's sums stay in registers from the first tile to the last.

template <int Ranks, int Rows>
LORAKEET_INLINE void project_block(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows, float scale,
                                   float* out) {
  Vec sums[Rows][Ranks];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) sums[i][k] = zero();
  const float* tile = m;
  for (size_t at = 0; at < padded(tiles); at += kTile, tile += static_cast<size_t>(rank) * kTile) {
    LORAKEET_UNROLL for (int part = 0; part < static_cast<int>(kTile); part += kWidth) {
      Vec x[Rows];
      LORAKEET_UNROLL for (int i = 0; i < Rows; i++) x[i] = load(rows[i] + at + part);
      LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
        const Vec a = load(tile + k * kTile + part);
        LORAKEET_UNROLL for (int i = 0; i < Rows; i++) sums[i][k] = fma(a, x[i], sums[i][k]);
      }
    }
  }
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k += 4) {
      float four[4];
      store_sums(four, sums[i][k], k + 1 < Ranks ? sums[i][k + 1 < Ranks ? k + 1 : k] : zero(),
                 k + 2 < Ranks ? sums[i][k + 2 < Ranks ? k + 2 : k] : zero(),
                 k + 3 < Ranks ? sums[i][k + 3 < Ranks ? k + 3 : k] : zero());
      for (int j = 0; j < 4 && k + j < Ranks; j++) out[i * rank + k + j] = scale * four[j];
    }
  }
}

template <int Ranks>
LORAKEET_INLINE void project_ranks(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows,
                                   uint32_t count, float scale, float* out) {
  uint32_t i = 0;
  for (; i + kRowBlock <= count; i += kRowBlock) {
    project_block<Ranks, kRowBlock>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank);
  }
  for (; i < count; i++) project_block<Ranks, 1>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank);
}

static void project(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows, uint32_t count,
                    float scale, float* out) {
  uint32_t k = 0;
  for (; k + kRankBlock <= rank; k += kRankBlock) {
    project_ranks<kRankBlock>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
  }
  for (; k + 4 <= rank; k += 4) project_ranks<4>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
  for (; k < rank; k++) project_ranks<1>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
}

// ---- sums[i] += Σ_k hidden[i][k]·B[·][k] over one tile of Bᵀ

template <int Rows>
LORAKEET_INLINE void expand_tile(const float* tile, uint32_t rank, const float* hidden, Vec (&sums)[Rows][kSub]) {
  for (uint32_t k = 0; k < rank; k++) {
    Vec b[kSub];
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) b[part] = load(tile + k * kTile + part * kWidth);
    LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
      const Vec h = broadcast(hidden[static_cast<size_t>(i) * rank + k]);
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) sums[i][part] = fma(b[part], h, sums[i][part]);
    }
  }
}

// ---- gradient[·][k] (+)= Σ_i coefficient[i][k]·row_i

template <int Ranks>
LORAKEET_INLINE void gradient_tile(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                   uint32_t rank, bool first, float* tile) {
  Vec sums[Ranks][kSub];
  LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
      sums[k][part] = first ? zero() : load(tile + k * kTile + part * kWidth);
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    Vec x[kSub];
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) x[part] = load(rows[i] + at + part * kWidth);
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
      const Vec c = broadcast(coefficient[static_cast<size_t>(i) * rank + k]);
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) sums[k][part] = fma(x[part], c, sums[k][part]);
    }
  }
  LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) store(tile + k * kTile + part * kWidth, sums[k][part]);
  }
}

static void gradient_pass(const float* const* rows, uint32_t n, uint32_t tiles, const float* coefficient, uint32_t rank,
                          bool first, float* gradient) {
  float* tile = gradient;
  for (size_t at = 0; at < padded(tiles); at += kTile, tile += static_cast<size_t>(rank) * kTile) {
    uint32_t k = 0;
    for (; k + 4 <= rank; k += 4) gradient_tile<4>(rows, n, at, coefficient + k, rank, first, tile + k * kTile);
    for (; k < rank; k++) gradient_tile<1>(rows, n, at, coefficient + k, rank, first, tile + k * kTile);
  }
}

}  // namespace
}  // namespace lorakeet
