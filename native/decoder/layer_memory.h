// Where a pass keeps what its layers compute, for every backend.
#pragma once

#include <vector>

#include "carver.h"
#include "layers.h"
#include "pass_size.h"
#include "shape.h"

namespace lorakeet {

// Which layers have memory of their own: those that are kept whole, which are those from `lowest` up. Of the others,
// what enters them is kept if it is to be computed again, and all else lies in one state that they share. `output`:
// [tokens × hidden]; `layers` has as many as the model.
inline void place_layers(Carver& carver, const lorakeet_decoder_config& config, const PassSize& size, uint32_t lowest,
                         float* output, std::vector<LayerState>& layers) {
  const size_t rows = size.tokens, hidden = config.hidden_size, width = config.intermediate_size;
  const size_t q_width = query_width(config), k_width = key_width(config);
  const auto numbers = [&carver](size_t count, size_t each) { return carver.take<float>(count, each); };
  const auto place_state = [&] {
    LayerState state{};
    state.input = state.middle = output;
    state.q_plain = config.query_key_norms ? numbers(rows, q_width) : nullptr;
    state.k_plain = config.query_key_norms ? numbers(rows, k_width) : nullptr;
    state.q = numbers(rows, q_width);
    state.k = numbers(rows, k_width);
    state.v = numbers(rows, k_width);
    state.log_sums = numbers(rows, config.heads);
    state.attended = numbers(rows, q_width);
    state.gate = numbers(rows, width);
    state.up = numbers(rows, width);
    return state;
  };
  const bool all_kept = size.backward && !size.recompute;
  LayerState shared{};
  if (!all_kept) shared = place_state();
  float* const middle = size.recompute ? numbers(rows, hidden) : nullptr;
  for (uint32_t layer = config.layers; layer-- > lowest;) {
    layers[layer] = all_kept ? place_state() : shared;
    layers[layer].input = numbers(rows, hidden);
    layers[layer].middle = all_kept ? numbers(rows, hidden) : middle;
  }
  for (uint32_t layer = 0; layer < lowest; layer++) {
    layers[layer] = all_kept ? layers[lowest] : shared;
    layers[layer].input = layers[layer].middle = output;
  }
}

// Working memory of a layer's backward. `normed`: [tokens × hidden], of the forward. `hidden_numbers`: of LoRA's hidden
// rows.
inline LayerBack place_layer_back(Carver& carver, const lorakeet_decoder_config& config, size_t rows, float* normed,
                                  size_t hidden_numbers) {
  const size_t width = config.intermediate_size, q_width = query_width(config), k_width = key_width(config);
  const auto numbers = [&carver](size_t count, size_t each) { return carver.take<float>(count, each); };
  LayerBack back{};
  back.normed = normed;
  back.d_normed = numbers(rows, config.hidden_size);
  back.back = numbers(hidden_numbers, 1);
  const size_t feed_forward = carver.mark();
  back.d_gate = numbers(rows, width);
  back.d_up = numbers(rows, width);
  carver.rewind(feed_forward);
  back.d_attended = numbers(rows, q_width);
  back.dq = numbers(rows, q_width);
  back.dk = numbers(rows, k_width);
  back.dv = numbers(rows, k_width);
  return back;
}

}  // namespace lorakeet
