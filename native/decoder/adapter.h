// The LoRA adapters of a model: their vectors, and what is done with them alone.
#pragma once

#include <vector>

#include "../cpu/memory.h"
#include "model.h"

namespace lorakeet {

struct Target {
  uint32_t layer, module, rank;
  float scaling;
  size_t in, out;
  size_t first;  // of its parameters: loraA [rank × in], then loraB [out × rank]
};

// Where the targets of an adapter are, by layer and module.
class Targets {
 public:
  // Throws std::bad_alloc.
  Targets(const Model& model, const lorakeet_lora_target* targets, uint32_t count);
  const Target* find(uint32_t layer, uint32_t module) const {
    const uint32_t place = places_[layer * LORAKEET_MODULES + module];
    return place ? &all_[place - 1] : nullptr;
  }
  // The lowest layer that has one, or the number of layers.
  uint32_t lowest_layer() const { return lowest_; }
  // Whether one of the layer's modules from `first` up to `last` has one.
  bool any(uint32_t layer, uint32_t first, uint32_t last) const;
  uint32_t largest_rank() const;
  // The longest of the vectors that enter a loraA.
  size_t widest() const;
  size_t parameters() const { return parameters_; }

 private:
  std::vector<Target> all_;
  std::vector<uint32_t> places_;
  uint32_t lowest_;
  size_t parameters_ = 0;
};

}  // namespace lorakeet

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
