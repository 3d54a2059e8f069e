#include "targets.h"

#include <algorithm>

#include "shape.h"

namespace lorakeet {

Targets::Targets(const lorakeet_decoder_config& config, const lorakeet_lora_target* targets, uint32_t count)
    : places_(size_t{config.layers} * LORAKEET_MODULES), lowest_(config.layers) {
  all_.reserve(count);
  for (const lorakeet_lora_target* given = targets; given < targets + count; given++) {
    const Target target = {given->layer,
                           given->module,
                           given->rank,
                           given->scaling,
                           in_features(config, given->module),
                           out_features(config, given->module),
                           parameters_};
    parameters_ += size_t{target.rank} * (target.in + target.out);
    lowest_ = std::min(lowest_, target.layer);
    all_.push_back(target);
    places_[size_t{target.layer} * LORAKEET_MODULES + target.module] = static_cast<uint32_t>(all_.size());
  }
}

bool Targets::any(uint32_t layer, uint32_t first, uint32_t last) const {
  for (uint32_t module = first; module <= last; module++) {
    if (find(layer, module)) return true;
  }
  return false;
}

uint32_t Targets::largest_rank() const {
  uint32_t rank = 0;
  for (const Target& target : all_) rank = std::max(rank, target.rank);
  return rank;
}

size_t Targets::widest() const {
  size_t width = 0;
  for (const Target& target : all_) width = std::max(width, target.in);
  return width;
}

}  // namespace lorakeet
