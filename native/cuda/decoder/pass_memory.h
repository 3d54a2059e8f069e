// The device memory of a pass, in one block.
#pragma once

#include "../../decoder/layers.h"
#include "../../decoder/pass_size.h"
#include "run.h"
#include "tiles.h"

namespace lorakeet::cuda::decoder {

struct PassMemory {
  uint32_t *tokens, *places;   // [tokens]
  uint32_t *labels, *sources;  // [targets]: what is scored, and the rows that predict it
  float *coefficients, *log_probabilities;
  AttentionShape shape, back_shape;
  QueryTile *tiles, *back_tiles;
  KeyTile* key_tiles;
  float *cosines, *sines, *along;
  float* gradient;  // [parameters]: of this backward alone
  float *lora, *dropped;
  size_t hidden_numbers;
  ProductMemory products;
  std::vector<LayerState> layers;
  float* output;  // [tokens × hidden]: of the last layer
  float* d;       // [tokens × hidden]: where there is a backward
  float *normed, *product;
  size_t head_rows;  // whose logits are there at the same time
  float *head_hidden, *d_head_hidden, *logits;
  LayerBack back;

  // `targets`: of the adapter, or null. `layers` has as many as the model.
  void lay_out(Carver& carver, const DecoderModel& model, const Targets* targets, const PassSize& size);
};

// What a pass of this size takes, at most.
uint64_t pass_bytes(const DecoderModel& model, const Targets& targets, const PassSize& size);

}  // namespace lorakeet::cuda::decoder
