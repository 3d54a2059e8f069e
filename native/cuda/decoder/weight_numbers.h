// Numbers of weights as they are kept.
#pragma once

#include "../../decoder/half.h"
#include "../../decoder/weights.h"
#include "../numbers.h"

namespace lorakeet::cuda::decoder {

struct WeightNumbers {
  WeightType type;
  const void* data;
  const float* row_scale;  // or null
  size_t in;

  LORAKEET_DEVICE float scale(size_t row) const { return row_scale ? row_scale[row] : 1.0f; }

  // Number `i` of all, without its row's scale.
  LORAKEET_DEVICE float plain(size_t i) const {
    switch (type) {
      case WeightType::kF32:
        return static_cast<const float*>(data)[i];
      case WeightType::kBf16:
        return to_float(static_cast<const Bf16*>(data)[i]);
      case WeightType::kF16:
        return to_float(static_cast<const Half*>(data)[i]);
      default:
        return static_cast<float>(static_cast<const int8_t*>(data)[i]);
    }
  }

  LORAKEET_DEVICE float number(size_t row, size_t column) const {
    return row_scale ? row_scale[row] * plain(row * in + column) : plain(row * in + column);
  }
};

inline WeightNumbers numbers_of(const Weight& weight) {
  return {weight.type, weight.data, weight.row_scale, weight.in};
}

}  // namespace lorakeet::cuda::decoder
