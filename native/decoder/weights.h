// The frozen base, wherever it lies: weights in one block, each projection as it is kept, norms and biases in float32.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "carver.h"
#include "lorakeet/decoder.h"

namespace lorakeet {

enum class WeightType : uint32_t { kF32, kBf16, kF16, kInt8 };

// The weight of a linear layer, row-major [out × in], aligned to its numbers. Never copied as a whole: what a block of
// a product needs is unpacked into working memory.
struct Weight {
  WeightType type;
  const void* data;
  const float* row_scale;  // of kInt8, one for each row: weight (o, i) is row_scale[o] · data[o·in + i]; else null
  size_t out, in;
};

struct LayerWeights {
  Weight projections[LORAKEET_MODULES];
  const float* biases[LORAKEET_MODULES];  // null where there is none
  const float *input_norm, *post_attention_norm;
  const float *q_norm, *k_norm;  // null where queries and keys are not normalised
};

struct ModelWeights {
  std::vector<LayerWeights> layers;
  Weight embedding, head;
  const float* final_norm;

  // Throws std::bad_alloc.
  void lay_out(Carver& carver, const lorakeet_decoder_config& config);
  // A tensor as decoder.h numbers it; a vector is one row.
  Weight tensor(const lorakeet_decoder_config& config, uint32_t layer, uint32_t tensor) const;
};

}  // namespace lorakeet
