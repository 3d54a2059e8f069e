// From hidden states to the log-probabilities of targets and back, for the rows of targets only and a few at a time:
// the logits of a batch would be larger than the model.
#pragma once

#include "run.h"

namespace lorakeet {

struct HeadMemory {
  size_t chunk;              // rows at a time
  float *hidden, *d_hidden;  // [chunk × hidden]
  float* logits;             // [chunk × vocabulary]
};

struct Scoring {
  size_t targets;
  const uint32_t* positions;  // [targets]: rows of the tokens to predict, each from the row before
  uint32_t* labels;           // [targets]: the tokens to score; those that were drawn where `draw` is set
  bool draw;
  uint64_t draw_seed;
  float* log_probabilities;   // [targets], or null
  const float* coefficients;  // [targets] of the loss −Σ coefficient · log p, or null: no gradient is wanted
  float* d;  // [rows × hidden]: the gradient with respect to x where it is not 0; other rows are left alone
};

// x [rows × hidden]: the output of the last layer.
void score(const Run& run, const float* x, const Scoring& scoring, const HeadMemory& memory);

}  // namespace lorakeet
