#include "steps.h"

#include <string.h>

#include "lora.h"
#include "spread.h"

namespace lorakeet {

void CpuSteps::normalize(const float* x, const float* weight, float* y) const {
  const size_t hidden = run.model.config.hidden_size;
  for_rows(run.threads(), run.rows, hidden, [&](size_t row) {
    run.kernels().normalize(x + row * hidden, weight, run.model.config.rms_norm_eps, hidden, y + row * hidden);
  });
}

void CpuSteps::normalize_back(const float* x, const float* weight, const float* dy, float* d) const {
  const size_t hidden = run.model.config.hidden_size;
  for_rows(run.threads(), run.rows, hidden * 2, [&](size_t row) {
    run.kernels().normalize_back(x + row * hidden, weight, run.model.config.rms_norm_eps, dy + row * hidden, hidden,
                                 d + row * hidden, true);
  });
}

void CpuSteps::project(uint32_t layer, const float* x, const ModuleOutput* outputs, size_t count, bool add) const {
  const LayerWeights& weights = run.model.layers[layer];
  Projection projections[3];
  for (size_t i = 0; i < count; i++) {
    const Weight& weight = weights.projections[outputs[i].module];
    projections[i] = {weight, outputs[i].y, weight.out};
  }
  const size_t in = projections[0].weight.in;
  run.products.project(x, in, run.rows, projections, count, add, run.model.arithmetic);
  for (const ModuleOutput* output = outputs; output < outputs + count; output++) {
    if (const float* bias = weights.biases[output->module]) {
      const size_t out = run.model.out_features(output->module);
      for_rows(run.threads(), run.rows, out, [&](size_t row) { run.kernels().add(bias, out, output->y + row * out); });
    }
    add_lora(run, layer, output->module, x, output->y);
  }
}

void CpuSteps::project_back(uint32_t layer, uint32_t module, const float* x, const float* dy, float* d,
                            bool add) const {
  if (d) {
    const Weight& weight = run.model.layers[layer].projections[module];
    run.products.project_back(dy, weight.out, run.rows, weight, d, weight.in, add, run.model.arithmetic);
  }
  lora_back(run, *adapter, layer, module, x, dy, d, back);
}

void CpuSteps::place_heads(size_t heads, const float* norm, const float* plain, float* x) const {
  const size_t dim = run.model.config.head_dim, half = dim / 2;
  for_rows(run.threads(), run.rows, heads * dim, [&](size_t row) {
    const size_t angle = run.positions[row] * half;
    for (size_t at = row * heads * dim; at < (row + 1) * heads * dim; at += dim) {
      if (norm) run.kernels().normalize(plain + at, norm, run.model.config.rms_norm_eps, dim, x + at);
      run.kernels().rotate(x + at, run.cosines + angle, run.sines + angle, half);
    }
  });
}

void CpuSteps::place_heads_back(size_t heads, const float* norm, const float* plain, float* d) const {
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

void CpuSteps::attend_back(const LayerState& state, const float* d_attended, float* dq, float* dk, float* dv) const {
  lorakeet::attend_back(run, *sequences, state.q, state.k, state.v, state.log_sums, d_attended, dq, dk, dv);
}

void CpuSteps::swiglu(const float* gate, const float* up, float* product) const {
  const size_t width = run.model.config.intermediate_size;
  for_rows(run.threads(), run.rows, width * 4 /* an exp and a division */, [&](size_t row) {
    run.kernels().swiglu(gate + row * width, up + row * width, width, product + row * width);
  });
}

void CpuSteps::swiglu_back(const float* gate, const float* up, float* d_gate, float* d_up) const {
  const size_t width = run.model.config.intermediate_size;
  for_rows(run.threads(), run.rows, width * 4, [&](size_t row) {
    const size_t at = row * width;
    run.kernels().swiglu_back(gate + at, up + at, width, d_gate + at, d_up + at);
  });
}

void CpuSteps::copy(const float* from, float* to) const {
  const size_t hidden = run.model.config.hidden_size;
  if (from == to) return;
  spread(run.threads(), run.rows, row_grain(hidden), [&](uint32_t, size_t first, size_t last) {
    memcpy(to + first * hidden, from + first * hidden, (last - first) * hidden * sizeof(float));
  });
}

}  // namespace lorakeet
