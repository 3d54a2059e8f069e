// What follows from the sizes of a model.
#pragma once

#include <stddef.h>

#include "lorakeet/decoder.h"

namespace lorakeet {

inline size_t query_width(const lorakeet_decoder_config& config) { return size_t{config.heads} * config.head_dim; }
inline size_t key_width(const lorakeet_decoder_config& config) {
  return size_t{config.key_value_heads} * config.head_dim;
}

inline size_t in_features(const lorakeet_decoder_config& config, uint32_t module) {
  if (module == LORAKEET_O_PROJ) return query_width(config);
  return module == LORAKEET_DOWN_PROJ ? config.intermediate_size : config.hidden_size;
}

inline size_t out_features(const lorakeet_decoder_config& config, uint32_t module) {
  switch (module) {
    case LORAKEET_Q_PROJ:
      return query_width(config);
    case LORAKEET_K_PROJ:
    case LORAKEET_V_PROJ:
      return key_width(config);
    case LORAKEET_GATE_PROJ:
    case LORAKEET_UP_PROJ:
      return config.intermediate_size;
    default:
      return config.hidden_size;
  }
}

}  // namespace lorakeet
