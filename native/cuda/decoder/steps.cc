#include "steps.h"

#include "element_kernels.h"
#include "lora.h"
#include "row_kernels.h"

namespace lorakeet::cuda::decoder {

void DeviceSteps::normalize(const float* x, const float* weight, float* y) const {
  const auto& config = run.model.config;
  run.launch(NormalizeRows{x, weight, config.rms_norm_eps, config.hidden_size, y, nullptr}, run.rows);
}

void DeviceSteps::normalize_back(const float* x, const float* weight, const float* dy, float* d) const {
  const auto& config = run.model.config;
  run.launch(NormalizeBackRows{x, weight, config.rms_norm_eps, config.hidden_size, dy, d, nullptr, 1}, run.rows);
}

void DeviceSteps::project(uint32_t layer, const float* x, const ModuleOutput* outputs, size_t count, bool add) const {
  const LayerWeights& weights = run.model.layers[layer];
  Output products[3] = {};
  for (size_t i = 0; i < count; i++) products[i] = {weights.projections[outputs[i].module], outputs[i].y};
  multiply_weights(run, x, run.rows, products, count, add);
  for (const ModuleOutput* output = outputs; output < outputs + count; output++) {
    if (const float* bias = weights.biases[output->module]) {
      const size_t out = out_features(run.model.config, output->module);
      run.launch(AddBias{bias, static_cast<uint32_t>(out), output->y}, run.rows);
    }
    add_lora(run, layer, output->module, x, output->y);
  }
}

void DeviceSteps::project_back(uint32_t layer, uint32_t module, const float* x, const float* dy, float* d,
                               bool add) const {
  if (d) multiply_back(run, dy, run.rows, run.model.layers[layer].projections[module], d, add);
  lora_back(run, *adapter, gradient, layer, module, x, dy, d, back);
}

void DeviceSteps::turn(size_t heads, bool back, float* x) const {
  const uint32_t half = run.model.config.head_dim / 2;
  run.launch(TurnHeads{run.places, run.cosines, run.sines, static_cast<uint32_t>(heads), half, back, x}, run.rows);
}

void DeviceSteps::place_heads(size_t heads, const float* norm, const float* plain, float* x) const {
  const auto& config = run.model.config;
  if (norm) {
    run.launch(NormalizeRows{plain, norm, config.rms_norm_eps, config.head_dim, x, nullptr}, run.rows * heads);
  }
  turn(heads, false, x);
}

void DeviceSteps::place_heads_back(size_t heads, const float* norm, const float* plain, float* d) const {
  const auto& config = run.model.config;
  turn(heads, true, d);
  if (norm) {
    run.launch(NormalizeBackRows{plain, norm, config.rms_norm_eps, config.head_dim, d, d, nullptr, 0},
               run.rows * heads);
  }
}

void DeviceSteps::attend_back(const LayerState& state, const float* d_attended, float* dq, float* dk, float* dv) const {
  const AttentionBack back = {tiles->shape,   state.q,        state.k,    state.v,
                              state.attended, state.log_sums, d_attended, tiles->along};
  const size_t heads = tiles->shape.key_heads;
  run.launch(AttendBackQueries{back, tiles->queries, dq}, tiles->query_tiles * heads);
  run.launch(AttendBackKeys{back, tiles->keys, dk, dv}, tiles->key_tiles * heads);
}

void DeviceSteps::swiglu(const float* gate, const float* up, float* product) const {
  const size_t count = run.rows * run.model.config.intermediate_size;
  run.launch(Swiglu{gate, up, product, count}, stretches(count));
}

void DeviceSteps::swiglu_back(const float* gate, const float* up, float* d_gate, float* d_up) const {
  const size_t count = run.rows * run.model.config.intermediate_size;
  run.launch(SwigluBack{gate, up, d_gate, d_up, count}, stretches(count));
}

void DeviceSteps::copy(const float* from, float* to) const {
  if (from == to) return;
  const size_t count = run.rows * run.model.config.hidden_size;
  run.launch(CopyNumbers{from, to, count, 0}, stretches(count));
}

}  // namespace lorakeet::cuda::decoder
