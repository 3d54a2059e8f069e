// The LoRA adapters of a model: their vectors, and what is done with them alone.
#pragma once

#include <vector>

#include "../cpu/memory.h"
#include "model.h"
#include "targets.h"

struct lorakeet_decoder_adapter {
  lorakeet_decoder_adapter(const lorakeet::Model& model, const lorakeet_lora_target* targets, uint32_t count,
                           bool train);

  const float* lora_a(const lorakeet::Target& target) const { return parameters() + target.first; }
  const float* lora_b(const lorakeet::Target& target) const { return lora_a(target) + size_t{target.rank} * target.in; }
  float* gradient_a(const lorakeet::Target& target) { return vector(LORAKEET_GRADIENT) + target.first; }
  float* gradient_b(const lorakeet::Target& target) { return gradient_a(target) + size_t{target.rank} * target.in; }

  const float* parameters() const { return vectors_[LORAKEET_PARAMETERS].floats(); }
  float* vector(uint32_t which) const { return vectors_[which].floats(); }

  // False where the norm of the gradient is not finite: the gradient is 0 then, and nothing else has changed.
  bool step(const lorakeet_adapter_step& step, double* grad_norm);
  void add_fisher(double weight);

  const lorakeet::Targets targets;

 private:
  double gradient_norm() const;

  const lorakeet::DecoderKernels& kernels_;
  const uint32_t threads_;
  lorakeet::LazyBlock vectors_[LORAKEET_ADAPTER_VECTORS];
  mutable std::vector<double> block_sums_;
};

namespace lorakeet {
using Adapter = ::lorakeet_decoder_adapter;
}
