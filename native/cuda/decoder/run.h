// What all layers have in common while one batch of rows passes through them.
#pragma once

#include "../../decoder/carver.h"
#include "../../decoder/random.h"
#include "adapter.h"
#include "launch.h"

namespace lorakeet::cuda::decoder {

// Neighbouring rows that have one adapter, or none.
struct Segment {
  size_t first, rows;
  const DecoderAdapter* adapter;
};

// Working memory of products with base weights: rows and weights in the type that is multiplied, where they are kept in
// another.
struct ProductMemory {
  void *rows, *weights;
  size_t weight_numbers;

  // `numbers`: the most that rows have in all.
  void lay_out(Carver& carver, const DecoderModel& model, size_t numbers);
};

struct Run {
  const DecoderModel& model;
  Engine& engine;
  ProductMemory products{};
  size_t rows = 0;
  const uint32_t* places = nullptr;                  // [rows]: of each in its sequence
  const float *cosines = nullptr, *sines = nullptr;  // [places × head_dim / 2]
  std::vector<Segment> segments{};                   // one behind another, all rows
  Dropout dropout{};
  float* hidden = nullptr;    // working memory for loraA · x
  size_t hidden_numbers = 0;  // no fewer than the rank of any target
  float* dropped = nullptr;   // [rows × the widest input of a target], where there is dropout

  template <class Kernel>
  void launch(const Kernel& kernel, size_t items) const {
    decoder::launch(engine.stream, kernel, items);
  }
};

}  // namespace lorakeet::cuda::decoder
