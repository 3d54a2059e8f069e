// What each instruction set provides for the products; products.cc does the rest. The units that implement it show
// nothing else.
#pragma once

#include "products.h"

namespace lorakeet {

// Steps of one block of a sum, at most: what a tile adds up in registers before it touches the result.
constexpr size_t kBlockSteps = 320;
// Columns of one panel, at most.
constexpr size_t kMostColumns = 64;
// Floats that vectors of any instruction set fill evenly.
constexpr size_t kAlignedFloats = 16;

// The numbers of the right factor [depth × columns]; strides in numbers, one of the two is 1 or it is slow.
struct RightFactor {
  WeightType type;
  const void* data;
  size_t row_stride, column_stride;
};

// The left factor: rows of floats, column k of which may be multiplied by depth_scale[k].
struct LeftFactor {
  MatrixView view;
  const float* depth_scale;  // or null
};

// A piece of a product: some rows, one panel of columns, one block of the sums.
struct Piece {
  const float* left;  // as pack_left leaves it
  size_t left_stride, rows;
  RightFactor right;
  size_t first_column, columns;  // at most panel_columns
  size_t first, depth;           // of the sums
  // out = alpha·column_scale[column]·sum + beta·out, the latter not read where beta is 0
  float alpha, beta;
  const float* column_scale;  // of first_column and on; or null
  float* out;                 // of first_column
  size_t out_stride;
  float* panel;  // working memory: kBlockSteps · kMostColumns floats
};

// Products in one arithmetic. A step of a sum is one product of floats, or two of bf16 numbers, which then lie together
// in the place of a float.
struct BlockKernels {
  size_t depth_per_step;
  size_t panel_columns;
  // Steps of the rows from `row` on, each row of the result `stride` floats after the one before, and filled with zeros
  // to a multiple of kAlignedFloats.
  void (*pack_left)(const LeftFactor& left, size_t row, size_t rows, size_t first, size_t depth, float* to,
                    size_t stride);
  void (*multiply)(const Piece& piece);
};

// Columns of few rows' products with a weight, which is read in order.
struct FewRows {
  const float* x;
  size_t x_stride, rows;
  Weight weight;
  float* y;
  size_t y_stride;
  bool accumulate;
};

struct ProductKernels {
  BlockKernels blocks;
  // Columns from `first` up to `end`: rows of the weight.
  void (*project_few)(const FewRows& few, size_t first, size_t end);
};

const ProductKernels& baseline_products();
const ProductKernels& avx2_products();
const ProductKernels& avx512_products();
const ProductKernels& neon_products();
// In bf16; for processors with AVX512_BF16 alone.
const BlockKernels& avx512bf16_products();

}  // namespace lorakeet
