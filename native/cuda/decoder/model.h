// The frozen base on the device.
#pragma once

#include <vector>

#include "../../decoder/shape.h"
#include "../../decoder/weights.h"
#include "../memory.h"
#include "attention_kernels.h"

struct lorakeet_decoder_model : lorakeet::ModelWeights {
  // Throws Failure and std::bad_alloc.
  explicit lorakeet_decoder_model(const lorakeet_decoder_config& config);

  uint64_t bytes() const { return block_.bytes(); }
  // False, and nothing has changed, where a value is not finite.
  bool write(uint32_t layer, uint32_t tensor, uint32_t first_row, uint32_t rows, uint32_t dtype, const void* values);

  bool bf16() const { return config.arithmetic == LORAKEET_ARITHMETIC_BF16; }
  size_t query_width() const { return lorakeet::query_width(config); }
  size_t key_width() const { return lorakeet::key_width(config); }

  const lorakeet_decoder_config config;
  const double* inverse_frequencies;  // [head_dim / 2], on the device

 private:
  void lay_out_all(lorakeet::Carver& carver);

  lorakeet::cuda::Buffer<lorakeet::cuda::OnDevice> block_;
};

namespace lorakeet::cuda::decoder {

using DecoderModel = ::lorakeet_decoder_model;

// How attention is laid over the device, for up to so many queries to a block; backward keeps more for each.
AttentionShape attention_shape(const lorakeet_decoder_config& config, uint32_t most_queries, bool backward);

}  // namespace lorakeet::cuda::decoder
