// What all layers have in common while one batch of rows passes through them.
#pragma once

#include "adapter.h"
#include "model.h"
#include "products.h"
#include "random.h"

namespace lorakeet {

// Neighbouring rows that have one adapter, or none.
struct Segment {
  size_t first, rows;
  const Adapter* adapter;
};

struct Run {
  const Model& model;
  Products& products;
  size_t rows = 0;
  const uint32_t* positions = nullptr;               // [rows]: the place of each in its sequence
  const float *cosines = nullptr, *sines = nullptr;  // [positions × head_dim / 2]
  const Segment* segments = nullptr;                 // one behind another, all rows
  size_t segment_count = 0;
  Dropout dropout{};
  float* hidden = nullptr;    // working memory for loraA · x
  size_t hidden_numbers = 0;  // no fewer than the rank of any target
  float* dropped = nullptr;   // [rows × the widest input of a target], where there is dropout

  const DecoderKernels& kernels() const { return model.kernels; }
  uint32_t threads() const { return model.config.threads; }
};

// Cosines and sines of the angles of RoPE [positions × head_dim / 2] for the positions from `first` up to `last`.
void fill_angles(const Model& model, size_t first, size_t last, float* cosines, float* sines);

}  // namespace lorakeet
