// The LoRA adapters of a model on the device: their vectors, and what is done with them alone.
#pragma once

#include "../../decoder/targets.h"
#include "engine.h"
#include "model.h"

struct lorakeet_decoder_adapter {
  // These throw Failure and std::bad_alloc.
  lorakeet_decoder_adapter(const lorakeet_decoder_model& model, const lorakeet_lora_target* targets, uint32_t count,
                           bool train);
  void write(uint32_t vector, uint64_t first, uint64_t count, const float* values);
  void read(uint32_t vector, uint64_t first, uint64_t count, float* values) const;
  // False where the norm of the gradient is not finite: the gradient is 0 then, and nothing else has changed.
  bool step(const lorakeet_adapter_step& step, double* grad_norm);
  void add_fisher(double weight);

  float* vector(uint32_t which) const {
    return reinterpret_cast<float*>(block_.memory()) + which * targets.parameters();
  }
  const float* lora_a(const lorakeet::Target& target) const { return vector(LORAKEET_PARAMETERS) + target.first; }
  const float* lora_b(const lorakeet::Target& target) const { return lora_a(target) + size_t{target.rank} * target.in; }

  const lorakeet::Targets targets;

 private:
  lorakeet::cuda::Buffer<lorakeet::cuda::OnDevice> block_;
  lorakeet::cuda::Buffer<lorakeet::cuda::OnDevice> sums_;  // of squares, where it trains
};

namespace lorakeet::cuda::decoder {
using DecoderAdapter = ::lorakeet_decoder_adapter;
}
