// Which projections an adapter changes, and where its parameters lie.
#pragma once

#include <stddef.h>

#include <vector>

#include "lorakeet/decoder.h"

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
  Targets(const lorakeet_decoder_config& config, const lorakeet_lora_target* targets, uint32_t count);
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
