#include "layer.h"

#include <string.h>

#include "lora.h"
#include "spread.h"

namespace lorakeet {
namespace {

void normalize_rows(const Run& run, const float* x, const float* weight, float* y) {
  const size_t hidden = run.model.config.hidden_size;
  for_rows(run.threads(), run.rows, hidden, [&](size_t row) {
    run.kernels().normalize(x + row * hidden, weight, run.model.config.rms_norm_eps, hidden, y + row * hidden);
  });
}

struct Output {
  uint32_t module;
  float* y;
};

// y = W·x (+ bias) + LoRA for modules with the same x; y += that where `add` is set.
void project(const Run& run, uint32_t layer, const float* x, const Output* outputs, size_t count, bool add) {
  const LayerWeights& weights = run.model.layers[layer];
  Projection projections[3];
  for (size_t i = 0; i < count; i++) {
    const Weight& weight = weights.projections[outputs[i].module];
    projections[i] = {weight, outputs[i].y, weight.out};
  }
  const size_t in = projections[0].weight.in;
  run.products.project(x, in, run.rows, projections, count, add, run.model.arithmetic);
  for (const Output* output = outputs; output < outputs + count; output++) {
    if (const float* bias = weights.biases[output->module]) {
      const size_t out = run.model.out_features(output->module);
      for_rows(run.threads(), run.rows, out, [&](size_t row) { run.kernels().add(bias, out, output->y + row * out); });
    }
    add_lora(run, layer, output->module, x, output->y);
  }
}

// Norms, where the model has them, and RoPE of all heads of queries or keys.
void place_heads(const Run& run, size_t heads, const float* norm, const float* plain, float* x) {
  const size_t dim = run.model.config.head_dim, half = dim / 2;
  for_rows(run.threads(), run.rows, heads * dim, [&](size_t row) {
    const size_t angle = run.positions[row] * half;
    for (size_t at = row * heads * dim; at < (row + 1) * heads * dim; at += dim) {
      if (norm) run.kernels().normalize(plain + at, norm, run.model.config.rms_norm_eps, dim, x + at);
      run.kernels().rotate(x + at, run.cosines + angle, run.sines + angle, half);
    }
  });
}

// The gradient of place_heads() with respect to what it was given, in place.
void place_heads_back(const Run& run, size_t heads, const float* norm, const float* plain, float* d) {
  const size_t dim = run.model.config.head_dim, half = dim / 2;
  for_rows(run.threads(), run.rows, heads * dim, [&](size_t row) {
    const size_t angle = run.positions[row] * half;
    for (size_t at = row * heads * dim; at < (row + 1) * heads * dim; at += dim) {
      run.kernels().rotate_back(d + at, run.cosines + angle, run.sines + angle, half);
      if (norm) {
        run.kernels().normalize_back(plain + at, norm, run.model.config.rms_norm_eps, d + at, dim, d + at, false);
      }
    }
  });
}

void copy_rows(const Run& run, const float* from, float* to) {
  const size_t hidden = run.model.config.hidden_size;
  if (from == to) return;
  spread(run.threads(), run.rows, row_grain(hidden), [&](uint32_t, size_t first, size_t last) {
    memcpy(to + first * hidden, from + first * hidden, (last - first) * hidden * sizeof(float));
  });
}

void swiglu_rows(const Run& run, const LayerState& state, float* product) {
  const size_t width = run.model.config.intermediate_size;
  for_rows(run.threads(), run.rows, width * 4 /* an exp and a division */, [&](size_t row) {
    run.kernels().swiglu(state.gate + row * width, state.up + row * width, width, product + row * width);
  });
}

// The gradient with respect to x of a projection: d = dy·W, or d += dy·W, with the part of LoRA.
void project_back(const Run& run, Adapter& adapter, uint32_t layer, uint32_t module, const float* x, const float* dy,
                  float* d, bool add, float* back) {
  if (d) {
    const Weight& weight = run.model.layers[layer].projections[module];
    run.products.project_back(dy, weight.out, run.rows, weight, d, weight.in, add, run.model.arithmetic);
  }
  lora_back(run, adapter, layer, module, x, dy, d, back);
}

void normalize_back_rows(const Run& run, const float* x, const float* weight, const float* dy, float* d) {
  const size_t hidden = run.model.config.hidden_size;
  for_rows(run.threads(), run.rows, hidden * 2, [&](size_t row) {
    run.kernels().normalize_back(x + row * hidden, weight, run.model.config.rms_norm_eps, dy + row * hidden, hidden,
                                 d + row * hidden, true);
  });
}

}  // namespace

void layer_queries(const Run& run, uint32_t layer, const LayerState& state, float* normed) {
  const LayerWeights& weights = run.model.layers[layer];
  const auto& config = run.model.config;
  normalize_rows(run, state.input, weights.input_norm, normed);
  float* const q = weights.q_norm ? state.q_plain : state.q;
  float* const k = weights.k_norm ? state.k_plain : state.k;
  const Output outputs[] = {{LORAKEET_Q_PROJ, q}, {LORAKEET_K_PROJ, k}, {LORAKEET_V_PROJ, state.v}};
  project(run, layer, normed, outputs, 3, false);
  place_heads(run, config.heads, weights.q_norm, q, state.q);
  place_heads(run, config.key_value_heads, weights.k_norm, k, state.k);
}

void layer_gates(const Run& run, uint32_t layer, const LayerState& state, float* normed) {
  const Output attention[] = {{LORAKEET_O_PROJ, state.middle}};
  copy_rows(run, state.input, state.middle);
  project(run, layer, state.attended, attention, 1, true);
  normalize_rows(run, state.middle, run.model.layers[layer].post_attention_norm, normed);
  const Output gates[] = {{LORAKEET_GATE_PROJ, state.gate}, {LORAKEET_UP_PROJ, state.up}};
  project(run, layer, normed, gates, 2, false);
}

void layer_output(const Run& run, uint32_t layer, const LayerState& state, float* product, float* output) {
  swiglu_rows(run, state, product);
  copy_rows(run, state.middle, output);
  const Output down[] = {{LORAKEET_DOWN_PROJ, output}};
  project(run, layer, product, down, 1, true);
}

void layer_back(const Run& run, Adapter& adapter, uint32_t layer, const LayerState& state,
                const PackedSequences& sequences, const LayerBack& memory, float* d) {
  const LayerWeights& weights = run.model.layers[layer];
  const auto& config = run.model.config;
  const Targets& targets = adapter.targets;
  const bool lowest = layer == targets.lowest_layer();
  // Whether anything at or below these modules wants the gradient.
  const bool of_attention = !lowest || targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_O_PROJ);
  const bool of_queries = !lowest || targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_V_PROJ);
  const bool of_gates = of_attention || targets.any(layer, LORAKEET_GATE_PROJ, LORAKEET_UP_PROJ);

  if (targets.find(layer, LORAKEET_DOWN_PROJ)) swiglu_rows(run, state, memory.d_up);
  project_back(run, adapter, layer, LORAKEET_DOWN_PROJ, memory.d_up, d, of_gates ? memory.d_gate : nullptr, false,
               memory.back);
  if (!of_gates) return;
  const size_t width = config.intermediate_size;
  for_rows(run.threads(), run.rows, width * 4, [&](size_t row) {
    const size_t at = row * width;
    run.kernels().swiglu_back(state.gate + at, state.up + at, width, memory.d_gate + at, memory.d_up + at);
  });
  if (targets.any(layer, LORAKEET_GATE_PROJ, LORAKEET_UP_PROJ)) {
    normalize_rows(run, state.middle, weights.post_attention_norm, memory.normed);
  }
  float* const d_normed = of_attention ? memory.d_normed : nullptr;
  project_back(run, adapter, layer, LORAKEET_GATE_PROJ, memory.normed, memory.d_gate, d_normed, false, memory.back);
  project_back(run, adapter, layer, LORAKEET_UP_PROJ, memory.normed, memory.d_up, d_normed, true, memory.back);
  if (!of_attention) return;
  normalize_back_rows(run, state.middle, weights.post_attention_norm, memory.d_normed, d);

  project_back(run, adapter, layer, LORAKEET_O_PROJ, state.attended, d, of_queries ? memory.d_attended : nullptr, false,
               memory.back);
  if (!of_queries) return;
  attend_back(run, sequences, state.q, state.k, state.v, state.log_sums, memory.d_attended, memory.dq, memory.dk,
              memory.dv);
  place_heads_back(run, config.heads, weights.q_norm, state.q_plain, memory.dq);
  place_heads_back(run, config.key_value_heads, weights.k_norm, state.k_plain, memory.dk);
  if (targets.any(layer, LORAKEET_Q_PROJ, LORAKEET_V_PROJ)) {
    normalize_rows(run, state.input, weights.input_norm, memory.normed);
  }
  float* const d_input = lowest ? nullptr : memory.d_normed;
  project_back(run, adapter, layer, LORAKEET_Q_PROJ, memory.normed, memory.dq, d_input, false, memory.back);
  project_back(run, adapter, layer, LORAKEET_K_PROJ, memory.normed, memory.dk, d_input, true, memory.back);
  project_back(run, adapter, layer, LORAKEET_V_PROJ, memory.normed, memory.dv, d_input, true, memory.back);
  if (!lowest) normalize_back_rows(run, state.input, weights.input_norm, memory.d_normed, d);
}

}  // namespace lorakeet
