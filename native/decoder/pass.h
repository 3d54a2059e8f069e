// Scoring and learning on packed sequences: a forward, and the backward for what it kept.
#pragma once

#include <memory>
#include <vector>

#include "../cpu/memory.h"
#include "attention.h"
#include "carver.h"
#include "head.h"
#include "layers.h"
#include "pass_size.h"

namespace lorakeet {

// The arrays of a pass, in one block.
struct PassMemory {
  uint32_t *offsets, *positions, *labels;  // of the batch, for backward
  uint32_t* places;                        // [tokens]: of each in its sequence
  float *cosines, *sines;
  float *lora, *dropped;
  size_t hidden_numbers;
  std::vector<LayerState> layers;
  float* output;  // [tokens × hidden]: of the last layer
  float* d;       // [tokens × hidden]: where there is a backward
  PackedSequences sequences;
  float *normed, *product;
  HeadMemory head;
  LayerBack back;

  // `targets`: of the adapter, or null.
  void lay_out(Carver& carver, const Model& model, const Targets* targets, const PassSize& size);
};

// What a pass of this size takes, at most.
uint64_t pass_bytes(const Model& model, const Targets& targets, const PassSize& size);

}  // namespace lorakeet

struct lorakeet_decoder_pass {
  explicit lorakeet_decoder_pass(const lorakeet::Model& model);

  // Throw std::bad_alloc before anything is computed; then nothing is kept any more.
  void forward(const lorakeet::Adapter* adapter, const lorakeet_token_batch& batch,
               const lorakeet_forward_options& options, const float* coefficients, float* log_probabilities,
               uint32_t* labels);
  // For the forward before, which kept something and had this adapter.
  void backward(lorakeet::Adapter& adapter, const float* coefficients);

 private:
  void run_layer(uint32_t layer, bool again);

  const lorakeet::Model& model_;
  lorakeet::Products products_;
  lorakeet::Run run_;
  lorakeet::Segment segment_{};
  lorakeet::PassSize size_{};
  lorakeet::PassMemory memory_;
  lorakeet::LazyBlock block_;
  size_t capacity_ = 0;
  uint32_t lowest_ = 0;
  bool has_gradient_ = false;  // forward has had the coefficients
};

namespace lorakeet {
using Pass = ::lorakeet_decoder_pass;
}
