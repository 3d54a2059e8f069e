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
// Sums that a register block holds; the rest of the registers is for operands. Fewer would let the latency of an fma
// show.
constexpr int kBlockSums = kRegisters / 2;
// A projection needs few operands, and adds the lanes of four sums at a time.
constexpr int kProjectRows = kRegisters == 32 ? 4 : kWidth == 8 ? 3 : 2;
constexpr int kProjectSums = kProjectRows * 4;

constexpr int at_least_one(int n) { return n < 1 ? 1 : n; }
constexpr int at_most(int limit, int n) { return n < limit ? n : limit; }
// The neighbouring tiles that a block takes for so many rows or ranks.
constexpr int block_tiles(int others) { return at_most(8, at_least_one(kBlockSums / kSub / others)); }
// The same for an expansion. A single row reads each number of B once and is as fast as they come in: from rank 16 on a
// tile is long enough to be read alone, in order.
constexpr int expand_tiles(int rows, uint32_t most_ranks) {
  return rows == 1 && most_ranks >= 16 ? 1 : block_tiles(rows);
}

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
    if (rate == 0) return;
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

// ---- numbers that the compiler knows: the usual small ranks, and how many of something a block takes
// Larger ranks gain nothing by it: they are taken in blocks of 16 or 8.

template <uint32_t N>
struct Fixed {
  static constexpr uint32_t kMost = N;
  constexpr operator uint32_t() const { return N; }
};
struct AnyRank {
  static constexpr uint32_t kMost = 256;
  uint32_t n;
  constexpr operator uint32_t() const { return n; }
};

template <typename Body>
LORAKEET_INLINE void with_rank(uint32_t rank, const Body& body) {
  switch (rank) {
    case 1:
      return body(Fixed<1>());
    case 2:
      return body(Fixed<2>());
    case 4:
      return body(Fixed<4>());
    case 8:
      return body(Fixed<8>());
    case 16:
      return body(Fixed<16>());
    default:
      return body(AnyRank{rank});
  }
}

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

template <int Rows, int Ranks, typename Rank>
LORAKEET_NOINLINE void project_block(const float* m, Rank rank, uint32_t tiles, const float* const* rows, float scale,
                                     float* out, Ahead& ahead) {
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
  if constexpr (Ranks % 4 == 0) {
    constexpr int kFours = Ranks / 4;
    Vec fours[Rows * kFours][4];
    float* to[Rows * kFours];
    LORAKEET_UNROLL for (int f = 0; f < Rows * kFours; f++) {
      const int i = f / kFours, k = f % kFours * 4;
      LORAKEET_UNROLL for (int j = 0; j < 4; j++) fours[f][j] = sums[i][k + j];
      to[f] = out + static_cast<size_t>(i) * rank + k;
    }
    store_sums(to, scale, fours);
  } else {
    LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
      LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) out[static_cast<size_t>(i) * rank + k] = scale * sum(sums[i][k]);
    }
  }
}

template <int Rows, typename Rank>
LORAKEET_INLINE void project_rows(const float* m, Rank rank, uint32_t tiles, const float* const* rows, float scale,
                                  float* out, Ahead& ahead) {
  uint32_t k = 0;
  const auto ranks_at_a_time = [&](auto ranks) {
    constexpr int kRanks = decltype(ranks)::kMost;
    if constexpr (kRanks * Rows <= kProjectSums && kRanks <= Rank::kMost) {
      for (; k + kRanks <= rank; k += kRanks) {
        project_block<Rows, kRanks>(m + k * kTile, rank, tiles, rows, scale, out + k, ahead);
      }
    }
  };
  ranks_at_a_time(Fixed<16>());
  ranks_at_a_time(Fixed<8>());
  ranks_at_a_time(Fixed<4>());
  ranks_at_a_time(Fixed<2>());
  ranks_at_a_time(Fixed<1>());
}

template <typename Rank>
LORAKEET_INLINE void project(const float* m, Rank rank, uint32_t tiles, const float* const* rows, uint32_t count,
                             float scale, float* out, Ahead& ahead) {
  uint32_t i = 0;
  for (; i + kProjectRows <= count; i += kProjectRows) {
    project_rows<kProjectRows>(m, rank, tiles, rows + i, scale, out + i * rank, ahead);
  }
  if constexpr (kProjectRows > 2) {
    for (; i + 2 <= count; i += 2) project_rows<2>(m, rank, tiles, rows + i, scale, out + i * rank, ahead);
  }
  for (; i < count; i++) project_rows<1>(m, rank, tiles, rows + i, scale, out + i * rank, ahead);
}

// ---- sums[i] += Σ_k hidden[i][k]·B[·][k] over neighbouring tiles of Bᵀ

template <int Rows, int Tiles, typename Rank>
LORAKEET_INLINE void expand_block(const float* tile, Rank rank, const float* hidden, Vec (&sums)[Rows][Tiles * kSub]) {
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

// Matrices of up to this many bytes stay in the first-level cache from one block of rows to the next.
constexpr size_t kKeptInL1 = 24 << 10;

// Takes n rows in blocks: each(Fixed<R>()) for the next R of them. Blocks of many rows and few tiles read B less
// often, for when it does not stay in the first-level cache; blocks of fewer rows have fewer pointers to juggle.
template <typename Rank, typename Each>
LORAKEET_INLINE void expand_in_rows(Rank rank, uint32_t tiles, uint32_t n, const Each& each) {
  uint32_t left = n;
  if constexpr (kBlockSums / kSub >= 16) {
    if (padded(tiles) * rank * sizeof(float) > kKeptInL1) {
      for (; left >= 8; left -= 8) each(Fixed<8>());
    }
  }
  constexpr uint32_t kRows = kRegisters == 32 || kWidth == 8 ? 4 : 2;
  for (; left >= kRows; left -= kRows) each(Fixed<kRows>());
  for (; left > 0; left--) each(Fixed<1>());
}

// ---- g[·][k] (+)= Σ_i coefficient[i][k]·row_i
// What becomes of a finished vector of the gradient is up to `tail`: tail(g, offset within the matrix) returns the
// vector whose squares are added to `norm`, lane by lane, if the tail has kNorm. Tails are passed by value: behind a
// reference, every store could change them as far as the compiler knows.

template <int Ranks, int Tiles, typename Rank, typename Tail>
LORAKEET_INLINE void gradient_block(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                    Rank rank, const float* partial, size_t offset, Tail tail, Vec& norm,
                                    Ahead& ahead) {
  ahead.worked((n + Tail::kWork) * Ranks * Tiles);
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
  Vec squares[4] = {norm, zero(), zero(), zero()};  // several sums: one would wait for itself
  LORAKEET_UNROLL for (int c = 0; c < Tiles * kSub; c++) {
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
      const Vec g = tail(sums[k][c], offset + (c / kSub) * stride + k * kTile + c % kSub * kWidth);
      if (Tail::kNorm) squares[k % 4] = fma(g, g, squares[k % 4]);
    }
  }
  if (Tail::kNorm) norm = add(add(squares[0], squares[1]), add(squares[2], squares[3]));
}

constexpr int kGradientRanks = at_most(8, at_least_one(kBlockSums / kSub));

// Ranks in blocks of at most kGradientRanks, and of 1 where the rank is no multiple of that.
template <typename Rank>
constexpr int kRanksAtATime = at_most(kGradientRanks, Rank::kMost);

// Ranks that fill a block share one instance of the code.
template <typename Rank>
LORAKEET_INLINE auto in_blocks(Rank rank) {
  if constexpr (Rank::kMost >= kGradientRanks) {
    return AnyRank{rank};
  } else {
    return rank;
  }
}

template <int Tiles, typename Rank, typename Tail>
LORAKEET_INLINE void gradient_tiles(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                    Rank rank, const float* partial, size_t offset, Tail tail, Vec& norm,
                                    Ahead& ahead) {
  constexpr int kRanks = kRanksAtATime<Rank>;
  uint32_t k = 0;
  for (; k + kRanks <= rank; k += kRanks) {
    gradient_block<kRanks, Tiles>(rows, n, at, coefficient + k, rank, partial, offset + k * kTile, tail, norm, ahead);
  }
  if constexpr (kRanks > 1) {
    for (; k < rank; k++) {
      gradient_block<1, Tiles>(rows, n, at, coefficient + k, rank, partial, offset + k * kTile, tail, norm, ahead);
    }
  }
}

// Returns the sum of the squares, lane by lane.
template <typename Rank, typename Tail>
LORAKEET_NOINLINE Vec gradient_pass(const float* const* rows, uint32_t n, uint32_t tiles, const float* coefficient,
                                    Rank rank, const float* partial, Tail tail, Ahead& ahead) {
  constexpr int kTiles = block_tiles(kRanksAtATime<Rank>);
  Vec norm = zero();
  uint32_t t = 0;
  for (; t + kTiles <= tiles; t += kTiles) {
    gradient_tiles<kTiles>(rows, n, padded(t), coefficient, rank, partial, padded(t) * rank, tail, norm, ahead);
  }
  for (; t < tiles; t++) {
    gradient_tiles<1>(rows, n, padded(t), coefficient, rank, partial, padded(t) * rank, tail, norm, ahead);
  }
  return norm;
}

}  // namespace
}  // namespace lorakeet
