// Factors of a block product, brought into the order in which tiles read them.
#pragma once

#include "arithmetic.h"
#include "product_kernels.h"

namespace {

using namespace lorakeet;

// kWidth steps from consecutive numbers, of which there are `count`; as if zeros followed.
template <typename Steps, typename T>
LORAKEET_INLINE Vec joined(const T* p, size_t count) {
  Vec parts[Steps::kDepth];
  for (size_t i = 0; i < Steps::kDepth; i++) parts[i] = load_some(p + i * kWidth, beyond(count, i * kWidth));
  return Steps::join(parts);
}

// One step each of `columns` sums whose numbers k lie beside each other, those for k + 1 `stride` numbers further on.
template <typename Steps, typename T>
LORAKEET_INLINE Vec stacked(const T* p, size_t stride, size_t columns, size_t count) {
  Vec parts[Steps::kDepth];
  for (size_t i = 0; i < Steps::kDepth; i++) parts[i] = i < count ? load_some(p + i * stride, columns) : zero();
  return Steps::stack(parts);
}

// ---- left: row after row of steps

template <typename Steps>
void pack_row(const float* p, size_t stride, const float* scale, size_t depth, float* to) {
  float block[Steps::kDepth * kWidth] = {};
  for (size_t at = 0; at < depth; at += Steps::kDepth * kWidth, to += kWidth) {
    const size_t count = less(Steps::kDepth * kWidth, depth - at);
    const float* from = p + at * stride;
    if (stride != 1) {
      for (size_t i = 0; i < count; i++) block[i] = from[i * stride];
      memset(block + count, 0, sizeof(block) - count * sizeof(float));
      from = block;
    }
    if (scale) {
      Vec parts[Steps::kDepth];
      for (size_t i = 0; i < Steps::kDepth; i++) {
        const size_t some = beyond(count, i * kWidth);
        parts[i] = mul(load_some(from + i * kWidth, some), load_some(scale + at + i * kWidth, some));
      }
      store(to, Steps::join(parts));
    } else {
      store(to, joined<Steps>(from, count));
    }
  }
}

// kWidth rows at a time that lie beside each other.
template <typename Steps>
void pack_turned_rows(const float* p, size_t stride, size_t rows, size_t depth, float* to, size_t to_stride) {
  constexpr size_t kDeep = Steps::kDepth * kWidth;
  for (size_t row = 0; row < rows; row += kWidth) {
    const size_t some = less(kWidth, rows - row);
    for (size_t at = 0, step = 0; at < depth; at += kDeep, step += kWidth) {
      Vec v[kWidth];
      LORAKEET_UNROLL for (size_t j = 0; j < kWidth; j++) {
        const size_t k = at + j * Steps::kDepth;
        v[j] = k < depth ? stacked<Steps>(p + k * stride + row, stride, some, depth - k) : zero();
      }
      transpose(v);
      for (size_t i = 0; i < some; i++) store(to + (row + i) * to_stride + step, v[i]);
    }
  }
}

template <typename Steps>
void pack_left(const LeftFactor& left, size_t row, size_t rows, size_t first, size_t depth, float* to, size_t stride) {
  const MatrixView& m = left.view;
  const float* p = m.data + row * m.row_stride + first * m.column_stride;
  if (m.row_stride == 1 && m.column_stride != 1 && !left.depth_scale) {
    return pack_turned_rows<Steps>(p, m.column_stride, rows, depth, to, stride);
  }
  for (size_t i = 0; i < rows; i++) {
    pack_row<Steps>(p + i * m.row_stride, m.column_stride, left.depth_scale ? left.depth_scale + first : nullptr, depth,
                    to + i * stride);
  }
}

// ---- right: for each step its columns, `width` of them. Columns beyond the last hold anything.

// Columns whose numbers k lie beside each other: a weight, turned.
template <typename Steps, typename T>
void pack_columns(const T* p, size_t stride, size_t columns, size_t depth, float* to, size_t width) {
  constexpr size_t kDeep = Steps::kDepth * kWidth;
  for (size_t column = 0; column < columns; column += kWidth, p += kWidth * stride) {
    const size_t last = less(kWidth, columns - column) - 1;
    for (size_t at = 0, step = 0; at < depth; at += kDeep, step += kWidth) {
      Vec v[kWidth];
      if (at + kDeep <= depth) {
        LORAKEET_UNROLL for (size_t i = 0; i < kWidth; i++) {
          v[i] = joined<Steps>(p + less(i, last) * stride + at, kDeep);
        }
      } else {
        for (size_t i = 0; i < kWidth; i++) v[i] = joined<Steps>(p + less(i, last) * stride + at, depth - at);
      }
      transpose(v);
      const size_t steps = less(kWidth, (depth - at + Steps::kDepth - 1) / Steps::kDepth);
      for (size_t j = 0; j < steps; j++) store(to + (step + j) * width + column, v[j]);
    }
  }
}

// Columns that lie beside each other.
template <typename Steps, typename T>
void pack_rows(const T* p, size_t stride, size_t columns, size_t depth, float* to, size_t width) {
  for (size_t at = 0; at < depth; at += Steps::kDepth, p += Steps::kDepth * stride, to += width) {
    for (size_t column = 0; column < columns; column += kWidth) {
      store(to + column, stacked<Steps>(p + column, stride, columns - column, depth - at));
    }
  }
}

template <typename Steps, typename T>
void pack_right(const RightFactor& right, size_t first_column, size_t columns, size_t first, size_t depth, float* to,
                size_t width) {
  const T* p = static_cast<const T*>(right.data) + first * right.row_stride + first_column * right.column_stride;
  if (right.column_stride == 1) return pack_rows<Steps>(p, right.row_stride, columns, depth, to, width);
  if (right.row_stride == 1) return pack_columns<Steps>(p, right.column_stride, columns, depth, to, width);
  T numbers[Steps::kDepth * kWidth];
  for (size_t at = 0; at < depth; at += Steps::kDepth, to += width) {
    const size_t deep = less(Steps::kDepth, depth - at);
    for (size_t column = 0; column < columns; column += kWidth) {
      const size_t some = less(kWidth, columns - column);
      for (size_t k = 0; k < deep; k++) {
        for (size_t i = 0; i < some; i++) {
          numbers[k * kWidth + i] = p[(at + k) * right.row_stride + (column + i) * right.column_stride];
        }
      }
      store(to + column, stacked<Steps>(numbers, kWidth, some, deep));
    }
  }
}

template <typename Steps>
void pack_right(const RightFactor& right, size_t first_column, size_t columns, size_t first, size_t depth, float* to,
                size_t width) {
  switch (right.type) {
    case WeightType::kF32:
      return pack_right<Steps, float>(right, first_column, columns, first, depth, to, width);
    case WeightType::kBf16:
      return pack_right<Steps, Bf16>(right, first_column, columns, first, depth, to, width);
    case WeightType::kF16:
      return pack_right<Steps, Half>(right, first_column, columns, first, depth, to, width);
    case WeightType::kInt8:
      return pack_right<Steps, int8_t>(right, first_column, columns, first, depth, to, width);
  }
}

}  // namespace
