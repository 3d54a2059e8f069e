// The frozen base: weights in one block, each projection as it is kept, norms and biases in float32.
#pragma once

#include <memory>
#include <vector>

#include "../cpu/memory.h"
#include "kernels.h"
#include "lorakeet/decoder.h"
#include "products.h"
#include "shape.h"
#include "weights.h"

struct lorakeet_decoder_model : lorakeet::ModelWeights {
  // `device`: as in lorakeet_cpu_kernels. Throws std::bad_alloc.
  lorakeet_decoder_model(const lorakeet_decoder_config& config, const char* device,
                         const lorakeet::DecoderKernels& kernels);

  size_t out_features(uint32_t module) const { return lorakeet::out_features(config, module); }
  size_t query_width() const { return lorakeet::query_width(config); }
  size_t key_width() const { return lorakeet::key_width(config); }
  uint64_t bytes() const { return bytes_; }

  // False, and nothing has changed, where a value is not finite.
  bool write(uint32_t layer, uint32_t tensor, uint32_t first_row, uint32_t rows, uint32_t dtype, const void* values);
  // The embedding of a token.
  void embed(uint32_t token, float* row) const;

  const lorakeet_decoder_config config;
  const char* const device;
  const lorakeet::DecoderKernels& kernels;
  const lorakeet::Arithmetic arithmetic;
  std::vector<double> inverse_frequencies;

 private:
  size_t bytes_ = 0;
  lorakeet::LazyBlock block_;
};

namespace lorakeet {
using Model = ::lorakeet_decoder_model;
}
