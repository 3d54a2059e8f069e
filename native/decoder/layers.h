// One layer forward, in the steps between which attention takes place, and backward: which step follows which, for
// every backend. `Steps` computes them:
//
//   normalize(x, weight, y)                     y = RMSNorm(x)·weight, rows of the hidden size
//   normalize_back(x, weight, dy, d)            d += its gradient with respect to x
//   project(layer, x, outputs, count, add)      y (+)= W·x + bias + LoRA, for modules with the same x
//   project_back(layer, module, x, dy, d, add)  d (+)= dy·W with the part of LoRA, unless d is null; the gradients of
//                                               LoRA's factors, of which each target has one call
//   place_heads(heads, norm, plain, x)          norms of x's heads, from `plain`, where `norm` is not null; RoPE
//   place_heads_back(heads, norm, plain, d)     its gradient, in place
//   attend_back(state, d_attended, dq, dk, dv)
//   swiglu(gate, up, product)
//   swiglu_back(gate, up, d_gate, d_up)         d_gate holds the gradient of the product before
//   copy(from, to)                              rows of the hidden size; nothing where they are the same
#pragma once

#include "targets.h"
#include "weights.h"

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

// Working memory of a layer's backward, [rows × …].
struct LayerBack {
  float* normed;           // [hidden]
  float* d_normed;         // [hidden]
  float* back;             // [the largest rank]
  float *d_gate, *d_up;    // [intermediate]
  float *d_attended, *dq;  // [heads · dim]
  float *dk, *dv;          // [key-value heads · dim]; these four may lie over the two before
};

struct ModuleOutput {
  uint32_t module;
  float* y;
};

// From input to q, k and v. `normed`: working memory [rows × hidden], as in all of these.
template <class Steps>
void layer_queries(const Steps& steps, const lorakeet_decoder_config& config, const LayerWeights& weights,
                   uint32_t layer, const LayerState& state, float* normed) {
  steps.normalize(state.input, weights.input_norm, normed);
  float* const q = weights.q_norm ? state.q_plain : state.q;
  float* const k = weights.k_norm ? state.k_plain : state.k;
  const ModuleOutput outputs[] = {{LORAKEET_Q_PROJ, q}, {LORAKEET_K_PROJ, k}, {LORAKEET_V_PROJ, state.v}};
  steps.project(layer, normed, outputs, 3, false);
  steps.place_heads(config.heads, weights.q_norm, q, state.q);
  steps.place_heads(config.key_value_heads, weights.k_norm, k, state.k);
}

// From attended to middle, gate and up.
template <class Steps>
void layer_gates(const Steps& steps, const LayerWeights& weights, uint32_t layer, const LayerState& state,
                 float* normed) {
  const ModuleOutput attention[] = {{LORAKEET_O_PROJ, state.middle}};
  steps.copy(state.input, state.middle);
  steps.project(layer, state.attended, attention, 1, true);
  steps.normalize(state.middle, weights.post_attention_norm, normed);
  const ModuleOutput gates[] = {{LORAKEET_GATE_PROJ, state.gate}, {LORAKEET_UP_PROJ, state.up}};
  steps.project(layer, normed, gates, 2, false);
}

// From gate and up to the layer's output. `product`: working memory [rows × intermediate].
template <class Steps>
void layer_output(const Steps& steps, uint32_t layer, const LayerState& state, float* product, float* output) {
  steps.swiglu(state.gate, state.up, product);
  steps.copy(state.middle, output);
  const ModuleOutput down[] = {{LORAKEET_DOWN_PROJ, output}};
  steps.project(layer, product, down, 1, true);
}

// d [rows × hidden]: the gradient with respect to the layer's output, which becomes that with respect to its input. In
// the lowest layer of the adapter it is left as it is once all targets have their gradients.
template <class Steps>
void layer_back(const Steps& steps, const lorakeet_decoder_config& config, const LayerWeights& weights,
                const Targets& targets, uint32_t layer, const LayerState& state, const LayerBack& memory, float* d) {
  const bool lowest = layer == targets.lowest_layer();
  // Whether anything at or below these modules wants the gradient.
  const bool of_attention = !lowest || targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_O_PROJ);
  const bool of_queries = !lowest || targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_V_PROJ);
  const bool of_gates = of_attention || targets.any(layer, LORAKEET_GATE_PROJ, LORAKEET_UP_PROJ);

  if (targets.find(layer, LORAKEET_DOWN_PROJ)) steps.swiglu(state.gate, state.up, memory.d_up);
  steps.project_back(layer, LORAKEET_DOWN_PROJ, memory.d_up, d, of_gates ? memory.d_gate : nullptr, false);
  if (!of_gates) return;
  steps.swiglu_back(state.gate, state.up, memory.d_gate, memory.d_up);
  if (targets.any(layer, LORAKEET_GATE_PROJ, LORAKEET_UP_PROJ)) {
    steps.normalize(state.middle, weights.post_attention_norm, memory.normed);
  }
  float* const d_normed = of_attention ? memory.d_normed : nullptr;
  steps.project_back(layer, LORAKEET_GATE_PROJ, memory.normed, memory.d_gate, d_normed, false);
  steps.project_back(layer, LORAKEET_UP_PROJ, memory.normed, memory.d_up, d_normed, true);
  if (!of_attention) return;
  steps.normalize_back(state.middle, weights.post_attention_norm, memory.d_normed, d);

  steps.project_back(layer, LORAKEET_O_PROJ, state.attended, d, of_queries ? memory.d_attended : nullptr, false);
  if (!of_queries) return;
  steps.attend_back(state, memory.d_attended, memory.dq, memory.dk, memory.dv);
  steps.place_heads_back(config.heads, weights.q_norm, state.q_plain, memory.dq);
  steps.place_heads_back(config.key_value_heads, weights.k_norm, state.k_plain, memory.dk);
  if (targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_V_PROJ)) {
    steps.normalize(state.input, weights.input_norm, memory.normed);
  }
  float* const d_input = lowest ? nullptr : memory.d_normed;
  steps.project_back(layer, LORAKEET_Q_PROJ, memory.normed, memory.dq, d_input, false);
  steps.project_back(layer, LORAKEET_K_PROJ, memory.normed, memory.dk, d_input, true);
  steps.project_back(layer, LORAKEET_V_PROJ, memory.normed, memory.dv, d_input, true);
  if (!lowest) steps.normalize_back(state.input, weights.input_norm, memory.d_normed, d);
}

}  // namespace lorakeet
