// Pieces of a product, tile by tile: a tile of the result stays in registers for one block of its sums.
#pragma once

#include "pack.inl"

namespace {

// Registers hold the sums of a tile, one step of its columns, and a number of a row.
constexpr size_t kTileRows = kRegisters == 32 ? 8 : 4;
constexpr size_t kTileVectors = 3;
constexpr size_t kPanelColumns = kTileVectors * kWidth;
static_assert(kPanelColumns <= kMostColumns, "working memory is laid out for this");

// What becomes of the sums of a tile.
struct Target {
  float* out;
  size_t stride, columns;
  float beta;
  const float* factors;  // by column
};

void finish_tile(size_t rows, size_t vectors, const float* sums, const Target& target) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t v = 0; v < vectors; v++, sums += kWidth) {
      float* const out = target.out + r * target.stride + v * kWidth;
      const size_t some = target.columns - v * kWidth;
      const Vec before = target.beta == 0 ? zero() : mul(broadcast(target.beta), load_some(out, some));
      store_some(out, some, fma(load(target.factors + v * kWidth), load(sums), before));
    }
  }
}

template <typename Steps, size_t kRows, size_t kVectors>
void multiply_tile(size_t steps, const float* left, size_t left_stride, const float* panel, float* out) {
  Vec sums[kRows][kVectors];
  LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) {
    LORAKEET_UNROLL for (size_t v = 0; v < kVectors; v++) sums[r][v] = zero();
  }
  for (size_t step = 0; step < steps; step++, panel += kVectors * kWidth) {
    Vec columns[kVectors];
    LORAKEET_UNROLL for (size_t v = 0; v < kVectors; v++) columns[v] = load(panel + v * kWidth);
    LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) {
      const Vec number = broadcast(left[r * left_stride + step]);
      LORAKEET_UNROLL for (size_t v = 0; v < kVectors; v++) {
        sums[r][v] = Steps::multiply_add(number, columns[v], sums[r][v]);
      }
    }
  }
  LORAKEET_UNROLL for (size_t r = 0; r < kRows; r++) {
    LORAKEET_UNROLL for (size_t v = 0; v < kVectors; v++) store(out + (r * kVectors + v) * kWidth, sums[r][v]);
  }
}

template <typename Steps, size_t kRows>
void multiply_rows(size_t vectors, size_t steps, const float* left, size_t left_stride, const float* panel,
                   float* sums) {
  switch (vectors) {
    case 1:
      return multiply_tile<Steps, kRows, 1>(steps, left, left_stride, panel, sums);
    case 2:
      return multiply_tile<Steps, kRows, 2>(steps, left, left_stride, panel, sums);
    default:
      return multiply_tile<Steps, kRows, 3>(steps, left, left_stride, panel, sums);
  }
}

template <typename Steps>
void multiply_rows(size_t rows, size_t vectors, size_t steps, const float* left, size_t left_stride, const float* panel,
                   float* sums) {
  switch (rows) {
#define LORAKEET_ROWS(n)                                                                                   \
  case n:                                                                                                  \
    if constexpr (n <= kTileRows) multiply_rows<Steps, n>(vectors, steps, left, left_stride, panel, sums); \
    break;
    LORAKEET_ROWS(1)
    LORAKEET_ROWS(2)
    LORAKEET_ROWS(3)
    LORAKEET_ROWS(4)
    LORAKEET_ROWS(5)
    LORAKEET_ROWS(6)
    LORAKEET_ROWS(7)
    LORAKEET_ROWS(8)
#undef LORAKEET_ROWS
  }
}

template <typename Steps>
void multiply(const Piece& piece) {
  const size_t vectors = (piece.columns + kWidth - 1) / kWidth;
  const size_t steps = (piece.depth + Steps::kDepth - 1) / Steps::kDepth;
  pack_right<Steps>(piece.right, piece.first_column, piece.columns, piece.first, piece.depth, piece.panel,
                    vectors * kWidth);
  float factors[kPanelColumns] = {};
  for (size_t i = 0; i < piece.columns; i++) {
    factors[i] = piece.column_scale ? piece.alpha * piece.column_scale[i] : piece.alpha;
  }
  // tiles of about the same height: none is so low that the latency of its sums shows
  const size_t tiles = (piece.rows + kTileRows - 1) / kTileRows;
  for (size_t tile = 0; tile < tiles; tile++) {
    const size_t row = tile * piece.rows / tiles, end = (tile + 1) * piece.rows / tiles;
    float sums[kTileRows * kPanelColumns];
    multiply_rows<Steps>(end - row, vectors, steps, piece.left + row * piece.left_stride, piece.left_stride,
                         piece.panel, sums);
    finish_tile(end - row, vectors, sums,
                {piece.out + row * piece.out_stride, piece.out_stride, piece.columns, piece.beta, factors});
  }
}

template <typename Steps>
constexpr BlockKernels block_kernels() {
  return {Steps::kDepth, kPanelColumns, pack_left<Steps>, multiply<Steps>};
}

}  // namespace
