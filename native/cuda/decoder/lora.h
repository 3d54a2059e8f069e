// The factors of adapters beside a projection: y += scaling · loraB · (loraA · drop(x)).
#pragma once

#include "run.h"

namespace lorakeet::cuda::decoder {

// For the rows of every segment whose adapter has the target.
void add_lora(const Run& run, uint32_t layer, uint32_t module, const float* x, float* y);

// Of a run whose only segment has this adapter. Writes the gradients of the target, if there is one, and adds the
// gradient with respect to x to dx [rows × in] unless that is null. The working memory of the run holds [rows × rank],
// `back` as much.
void lora_back(const Run& run, const DecoderAdapter& adapter, float* gradient, uint32_t layer, uint32_t module,
               const float* x, const float* dy, float* dx, float* back);

}  // namespace lorakeet::cuda::decoder
