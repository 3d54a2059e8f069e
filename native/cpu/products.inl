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

constexpr int kSub = kTile / kWidth;  // vectors per tile
// Register blocks. A projection holds ranks × rows sums and a row each; an expansion or a gradient holds rows or ranks
// × columns sums and the columns. The numbers leave room for operands; with fewer sums the latency of an fma would
// show.
constexpr int kProjectRanks = kRegisters == 32 ? 8 : 4;
constexpr int kProjectRows = kRegisters == 32 || kWidth == 8 ? 3 : 2;
constexpr int kExpandRows = kRegisters == 32 ? 4 : kWidth == 8 ? 4 : 2;
constexpr int kBlockTiles = kWidth == 16 ? 4 : 1;
constexpr uint32_t kStretch = 8;  // tiles that a projection takes between two looks ahead

LORAKEET_INLINE size_t padded(uint32_t tiles) { return static_cast<size_t>(tiles) * kTile; }

// Rows of scratch are this far apart: a stride that is no power of two keeps them out of each other's cache sets.
LORAKEET_INLINE size_t row_stride(uint32_t tiles) { return padded(tiles) + kTile; }

// Brings what comes next, a slot and its rows, into the second-level cache while this slot is worked on: a line now and
// then, in step with the work, because a burst of them would fill the queues and stall. Work is counted in
// multiply-adds of 16 floats.
struct Ahead {
  struct Range {
    const char *line, *end;
  };
  Range ranges[4] = {};  // one after the other; those behind the last are empty
  int current = 0, count = 0;
  uint64_t fetched = 0;            // bytes
  uint64_t reached = 0, rate = 0;  // bytes that should be on their way by now, and per unit of work; in 1/65536

  void add(const void* first, size_t bytes) {
    const char* line = static_cast<const char*>(first);
    ranges[count++] = {line, line + bytes};
    rate += bytes;
  }
  // After the last add(): how much work there is to spread the fetching over.
  void spread_over(double work) { rate = static_cast<uint64_t>(65536.0 * static_cast<double>(rate) / work); }

  LORAKEET_MEMBER void worked(uint32_t work) {
    reached += work * rate;
    for (const uint64_t bytes = reached >> 16; fetched < bytes; fetched += 4 * 64) {
      Range& range = ranges[current];
      prefetch(range.line);
      prefetch(range.line + 64);
      prefetch(range.line + 128);
      prefetch(range.line + 192);
      range.line += 4 * 64;
      if (range.line >= range.end && current + 1 < count) current++;
    }
  }
};

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
LORAKEET_NOINLINE void project_block(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows,
                                     float scale, float* out, Ahead& ahead) {
  Vec sums[Rows][Ranks];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) sums[i][k] = zero();
  const float* tile = m;
  for (uint32_t t = 0; t < tiles; t += kStretch) {
    const uint32_t stretch = tiles - t < kStretch ? tiles - t : kStretch;
    ahead.worked(Ranks * Rows * stretch);
    const size_t end = padded(t + stretch);
    for (size_t at = padded(t); at < end; at += kTile, tile += static_cast<size_t>(rank) * kTile) {
      LORAKEET_UNROLL for (int part = 0; part < static_cast<int>(kTile); part += kWidth) {
        Vec x[Rows];
        LORAKEET_UNROLL for (int i = 0; i < Rows; i++) x[i] = load(rows[i] + at + part);
        LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
          const Vec a = load(tile + k * kTile + part);
          LORAKEET_UNROLL for (int i = 0; i < Rows; i++) sums[i][k] = fma(a, x[i], sums[i][k]);
        }
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
                                   uint32_t count, float scale, float* out, Ahead& ahead) {
  uint32_t i = 0;
  for (; i + kProjectRows <= count; i += kProjectRows) {
    project_block<Ranks, kProjectRows>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank, ahead);
  }
  if (count - i == 2) {
    project_block<Ranks, 2>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank, ahead);
  } else if (count - i == 1) {
    project_block<Ranks, 1>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank, ahead);
  }
}

static void project(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows, uint32_t count,
                    float scale, float* out, Ahead& ahead) {
  uint32_t k = 0;
  for (; k + kProjectRanks <= rank; k += kProjectRanks) {
    project_ranks<kProjectRanks>(m + k * kTile, rank, tiles, rows, count, scale, out + k, ahead);
  }
  for (; k + 4 <= rank; k += 4) project_ranks<4>(m + k * kTile, rank, tiles, rows, count, scale, out + k, ahead);
  for (; k + 2 <= rank; k += 2) project_ranks<2>(m + k * kTile, rank, tiles, rows, count, scale, out + k, ahead);
  for (; k < rank; k++) project_ranks<1>(m + k * kTile, rank, tiles, rows, count, scale, out + k, ahead);
}

// ---- sums[i] += Σ_k hidden[i][k]·B[·][k] over neighbouring tiles of Bᵀ

template <int Rows, int Tiles>
LORAKEET_INLINE void expand_block(const float* tile, uint32_t rank, const float* hidden,
                                  Vec (&sums)[Rows][Tiles * kSub]) {
  const size_t stride = static_cast<size_t>(rank) * kTile;
  const float* h_row[Rows];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) h_row[i] = hidden + static_cast<size_t>(i) * rank;
  for (uint32_t k = 0; k < rank; k++, tile += kTile) {
    Vec b[Tiles * kSub];
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) b[c] = load(tile + (c / kSub) * stride + c % kSub * kWidth);
    LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
      const Vec h = broadcast(h_row[i][k]);
      LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) sums[i][c] = fma(b[c], h, sums[i][c]);
    }
  }
}

// ---- g[·][k] (+)= Σ_i coefficient[i][k]·row_i
// What becomes of a finished vector of the gradient is up to `tail`: tail(g, offset within the matrix);
// tail.ahead(offset) comes before the first vector of every 16 numbers, a cache line.

template <int Ranks, int Tiles, typename Tail>
LORAKEET_INLINE void gradient_block(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                    uint32_t rank, const float* partial, size_t offset, Tail& tail, Ahead& ahead) {
  ahead.worked(n * Ranks * Tiles);
  const size_t stride = static_cast<size_t>(rank) * kTile;
  Vec sums[Ranks][Tiles * kSub];
  LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
      sums[k][c] = partial ? load(partial + offset + (c / kSub) * stride + k * kTile + c % kSub * kWidth) : zero();
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    const float* row = rows[i] + at;
    const float* weights = coefficient + static_cast<size_t>(i) * rank;
    Vec x[Tiles * kSub];
    LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) x[c] = load(row + c * kWidth);
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
      const Vec weight = broadcast(weights[k]);
      LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) sums[k][c] = fma(x[c], weight, sums[k][c]);
    }
  }
  LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
      tail(sums[k][c], offset + (c / kSub) * stride + k * kTile + c % kSub * kWidth);
    }
  }
}

template <int Tiles, typename Tail>
LORAKEET_INLINE void gradient_tiles(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                    uint32_t rank, const float* partial, size_t offset, Tail& tail, Ahead& ahead) {
  uint32_t k = 0;
  for (; k + 4 <= rank; k += 4) {
    gradient_block<4, Tiles>(rows, n, at, coefficient + k, rank, partial, offset + k * kTile, tail, ahead);
  }
  for (; k < rank; k++) {
    gradient_block<1, Tiles>(rows, n, at, coefficient + k, rank, partial, offset + k * kTile, tail, ahead);
  }
}

template <typename Tail>
LORAKEET_INLINE void gradient_pass(const float* const* rows, uint32_t n, uint32_t tiles, const float* coefficient,
                                   uint32_t rank, const float* partial, Tail& tail, Ahead& ahead) {
  uint32_t t = 0;
  for (; t + kBlockTiles <= tiles; t += kBlockTiles) {
    gradient_tiles<kBlockTiles>(rows, n, padded(t), coefficient, rank, partial, padded(t) * rank, tail, ahead);
  }
  for (; t < tiles; t++)
    gradient_tiles<1>(rows, n, padded(t), coefficient, rank, partial, padded(t) * rank, tail, ahead);
}

}  // namespace
}  // namespace lorakeet
