// One layer forward, in the steps between which attention takes place, and backward.
#pragma once

#include "attention.h"
#include "run.h"

namespace lorakeet {

// What a layer computes, [rows × …]. Where nothing is kept, layers share these, and input, middle and output are one.
struct LayerState {
  float* input;              // [hidden]
  float *q_plain, *k_plain;  // before their norms, where they have some; else null
  float *q, *k, *v;          // after RoPE
  float* log_sums;           // [heads]
  float* attended;           // [heads · dim]
  float* middle;             // [hidden]  input + attention
  float *gate, *up;          // [intermediate]
};

// From input to q, k and v. `normed`: working memory [rows × hidden], as in all of these.
void layer_queries(const Run& run, uint32_t layer, const LayerState& state, float* normed);
// From attended to middle, gate and up.
void layer_gates(const Run& run, uint32_t layer, const LayerState& state, float* normed);
// From gate and up to the layer's output. `product`: working memory [rows × intermediate].
void layer_output(const Run& run, uint32_t layer, const LayerState& state, float* product, float* output);

// Working memory of a layer's backward, [rows × …].
struct LayerBack {
  float* normed;           // [hidden]
  float* d_normed;         // [hidden]
  float* back;             // [the largest rank]
  float *d_gate, *d_up;    // [intermediate]
  float *d_attended, *dq;  // [heads · dim]
  float *dk, *dv;          // [key-value heads · dim]; these four may lie over the two before
};

// d [rows × hidden]: the gradient with respect to the layer's output, which becomes that with respect to its input. In
// the lowest layer of the adapter it is left as it is once all targets have their gradients.
void layer_back(const Run& run, Adapter& adapter, uint32_t layer, const LayerState& state,
                const PackedSequences& sequences, const LayerBack& memory, float* d);

}  // namespace lorakeet
