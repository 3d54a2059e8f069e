// Random numbers that are a function of seed and place alone, and so the same in every backend.
#pragma once

#include <math.h>

#include "../cpu/bf16.h"
#include "targets.h"

namespace lorakeet {

struct Dropout {
  uint32_t threshold = 0;  // of 2³²; 0: nothing is dropped
  float scale = 1;
  uint64_t seed = 0;
};

inline Dropout make_dropout(double share, uint64_t seed) {
  if (!(share > 0)) return {};
  return {static_cast<uint32_t>(fmin(ceil(share * 0x1p32), 0x1p32 - 1)), static_cast<float>(1 / (1 - share)), seed};
}

// What the masks of a target depend on.
inline uint32_t dropout_key(const Dropout& dropout, const Target& target) {
  return mixed(static_cast<uint32_t>(dropout.seed + target.first)) ^ mixed(static_cast<uint32_t>(dropout.seed >> 32));
}

// The same for one of its rows, of `columns` entries.
LORAKEET_BF16_FUNCTION uint32_t dropout_row_key(uint32_t key, size_t row, size_t columns) {
  return key + static_cast<uint32_t>(row * columns) * 0x9e3779b9u;
}

// Entry i of a row is dropped where this is below the threshold.
LORAKEET_BF16_FUNCTION uint32_t dropout_bits(uint32_t row_key, uint32_t i) { return mixed(row_key + i * 0x9e3779b9u); }

// A number in [0, 1) for a target that is drawn.
LORAKEET_BF16_FUNCTION double random_share(uint64_t seed, size_t target) {
  const uint32_t key = mixed(static_cast<uint32_t>(seed)) ^ mixed(static_cast<uint32_t>(seed >> 32) + 0x9e3779b9u);
  return mixed(key + static_cast<uint32_t>(target) * 0x85ebca6bu) * 0x1p-32;
}

}  // namespace lorakeet
