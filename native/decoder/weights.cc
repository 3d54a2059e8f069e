#include "weights.h"

#include "shape.h"
#include "weight_rows.h"

namespace lorakeet {
namespace {

Weight place(Carver& carver, WeightType type, size_t out, size_t in) {
  Weight weight{type, nullptr, nullptr, out, in};
  weight.data = carver.take<char>(out, in * bytes_of(type));
  if (type == WeightType::kInt8) weight.row_scale = carver.take<float>(out);
  return weight;
}

}  // namespace

void ModelWeights::lay_out(Carver& carver, const lorakeet_decoder_config& config) {
  const WeightType type = static_cast<WeightType>(config.weight_dtype);
  const size_t hidden = config.hidden_size;
  layers.resize(config.layers);
  embedding = place(carver, type, config.vocab_size, hidden);
  head = config.tied ? embedding : place(carver, type, config.vocab_size, hidden);
  final_norm = carver.take<float>(hidden);
  for (LayerWeights& layer : layers) {
    for (uint32_t module = 0; module < LORAKEET_MODULES; module++) {
      const size_t out = out_features(config, module);
      layer.projections[module] = place(carver, type, out, in_features(config, module));
      layer.biases[module] = config.biases >> module & 1 ? carver.take<float>(out) : nullptr;
    }
    layer.input_norm = carver.take<float>(hidden);
    layer.post_attention_norm = carver.take<float>(hidden);
    layer.q_norm = config.query_key_norms ? carver.take<float>(config.head_dim) : nullptr;
    layer.k_norm = config.query_key_norms ? carver.take<float>(config.head_dim) : nullptr;
  }
}

Weight ModelWeights::tensor(const lorakeet_decoder_config& config, uint32_t layer, uint32_t tensor) const {
  const auto vector = [](const float* values, size_t length) {
    return Weight{WeightType::kF32, values, nullptr, 1, length};
  };
  if (layer == LORAKEET_NO_LAYER) {
    if (tensor == LORAKEET_EMBEDDING) return embedding;
    return tensor == LORAKEET_HEAD ? head : vector(final_norm, config.hidden_size);
  }
  const LayerWeights& weights = layers[layer];
  if (tensor < LORAKEET_MODULES) return weights.projections[tensor];
  if (tensor < LORAKEET_BIAS + LORAKEET_MODULES) {
    const uint32_t module = tensor - LORAKEET_BIAS;
    return vector(weights.biases[module], out_features(config, module));
  }
  switch (tensor) {
    case LORAKEET_INPUT_NORM:
      return vector(weights.input_norm, config.hidden_size);
    case LORAKEET_POST_ATTENTION_NORM:
      return vector(weights.post_attention_norm, config.hidden_size);
    default:
      return vector(tensor == LORAKEET_Q_NORM ? weights.q_norm : weights.k_norm, config.head_dim);
  }
}

}  // namespace lorakeet
