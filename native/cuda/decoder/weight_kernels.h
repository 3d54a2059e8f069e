// Kernels that read weights as they are kept: for products of few rows, and into the type that cuBLAS multiplies.
#pragma once

#include "../block.h"
#include "weight_numbers.h"

namespace lorakeet::cuda::decoder {

// Up to so many rows, a weight is read once, as it is kept: the speed is that of memory.
constexpr size_t kFewRows = 8;
constexpr uint32_t kFewColumns = kMostThreads / kLanes;  // rows of the weight to an item, one for each warp

// y [rows × out] = scale · x·Wᵀ, or y += that, for up to kRows rows. Items: out / kFewColumns, rounded up.
template <uint32_t kRows>
struct FewRows {
  WeightNumbers weight;
  uint32_t out, rows;
  const float* x;  // [rows × in]
  float scale;
  uint32_t add;    // 0 or 1
  uint32_t quads;  // 0 or 1: rows of weight and x are whole, aligned quads
  float* y;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const uint32_t first = item * kFewColumns, in = static_cast<uint32_t>(weight.in);
    block.template reduce<kRows>(
        smaller(kFewColumns, out - first),
        [&](uint32_t tile, uint32_t lane, float* sums) {
          const size_t start = size_t{first + tile} * in;
          if (!quads) {
            for (uint32_t k = lane; k < in; k += kLanes) add_products<1>(start, k, sums);
          } else {
            for (uint32_t k = lane * kQuad; k < in; k += kLanes * kQuad) add_products<kQuad>(start, k, sums);
          }
        },
        [&](uint32_t tile, uint32_t row, float sum) {
          if (row >= rows) return;
          float* const to = y + size_t{row} * out + first + tile;
          const float value = scale * weight.scale(first + tile) * sum;
          *to = add ? *to + value : value;
        });
  }

 private:
  // Rows that are not there are taken for the last one.
  template <uint32_t kNumbers>
  LORAKEET_DEVICE void add_products(size_t start, uint32_t k, float* sums) const {
    if constexpr (kNumbers == kQuad) {
      const Quad numbers = quad(start + k);
      LORAKEET_UNROLL for (uint32_t row = 0; row < kRows; row++) {
        sums[row] = add_product(numbers, load_quad(x + size_t{smaller(row, rows - 1)} * weight.in + k), sums[row]);
      }
    } else {
      const float number = weight.plain(start + k);
      LORAKEET_UNROLL for (uint32_t row = 0; row < kRows; row++) {
        sums[row] = multiply_add(number, x[size_t{smaller(row, rows - 1)} * weight.in + k], sums[row]);
      }
    }
  }

  LORAKEET_DEVICE Quad quad(size_t i) const {
    switch (weight.type) {
      case WeightType::kF32:
        return load_quad(static_cast<const float*>(weight.data) + i);
      case WeightType::kBf16:
        return load_quad(static_cast<const Bf16*>(weight.data) + i);
      default:
        return {weight.plain(i), weight.plain(i + 1), weight.plain(i + 2), weight.plain(i + 3)};
    }
  }
};

// `to` [items × in] = rows of a weight from `first` on, in float or rounded to bf16.
struct ExpandRows {
  WeightNumbers weight;
  size_t first;
  void* to;
  uint32_t bf16;  // 0 or 1

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const uint32_t in = static_cast<uint32_t>(weight.in);
    const size_t at = size_t{item} * in;
    block.for_each(in, [&](uint32_t i) {
      const float number = weight.number(first + item, i);
      if (bf16) {
        static_cast<Bf16*>(to)[at + i] = nearest(number);
      } else {
        static_cast<float*>(to)[at + i] = number;
      }
    });
  }
};

}  // namespace lorakeet::cuda::decoder
