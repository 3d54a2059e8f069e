#include "model.h"

#include <math.h>
#include <string.h>

#include "carver.h"
#include "half.h"
#include "spread.h"

using namespace lorakeet;

namespace {

// Numbers that are converted at a time.
constexpr size_t kChunk = 512;

size_t bytes_of(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return sizeof(float);
    case WeightType::kInt8:
      return sizeof(int8_t);
    default:
      return sizeof(uint16_t);
  }
}

template <typename T>
T entry(const char* values, size_t i) {
  T value;
  memcpy(&value, values + i * sizeof(T), sizeof(T));
  return value;
}

// floats = `count` numbers of `type`, at any alignment, from number `first` on.
void read_floats(WeightType type, const char* values, size_t first, size_t count, float* floats) {
  for (size_t i = 0; i < count; i++) {
    switch (type) {
      case WeightType::kF32:
        floats[i] = entry<float>(values, first + i);
        break;
      case WeightType::kBf16:
        floats[i] = to_float(entry<Bf16>(values, first + i));
        break;
      case WeightType::kF16:
        floats[i] = to_float(entry<Half>(values, first + i));
        break;
      case WeightType::kInt8:
        floats[i] = static_cast<float>(entry<int8_t>(values, first + i));
        break;
    }
  }
}

void write_floats(WeightType type, const float* floats, size_t count, void* to, size_t first, float scale) {
  for (size_t i = 0; i < count; i++) {
    switch (type) {
      case WeightType::kF32:
        static_cast<float*>(to)[first + i] = floats[i];
        break;
      case WeightType::kBf16:
        static_cast<Bf16*>(to)[first + i] = nearest(floats[i]);
        break;
      case WeightType::kF16:
        static_cast<Half*>(to)[first + i] = nearest_half(floats[i]);
        break;
      case WeightType::kInt8: {
        // a quotient may be a rounding error above the largest
        const float rounded = nearbyintf(floats[i] / scale);
        static_cast<int8_t*>(to)[first + i] = static_cast<int8_t>(fminf(fmaxf(rounded, -127.0f), 127.0f));
        break;
      }
    }
  }
}

// The largest magnitude of a row becomes 127; a row of zeros keeps the scale 1.
float row_scale(WeightType type, const char* values, size_t first, size_t count) {
  float most = 0, floats[kChunk];
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t n = count - at < kChunk ? count - at : kChunk;
    read_floats(type, values, first + at, n, floats);
    for (size_t i = 0; i < n; i++) most = fabsf(floats[i]) > most ? fabsf(floats[i]) : most;
  }
  return most > 0 ? most / 127.0f : 1.0f;
}

bool all_finite(WeightType type, const char* values, size_t first, size_t count) {
  // x − x is 0 for every finite x, and NaN for NaN and both infinities
  float zero = 0, floats[kChunk];
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t n = count - at < kChunk ? count - at : kChunk;
    read_floats(type, values, first + at, n, floats);
    for (size_t i = 0; i < n; i++) zero += floats[i] - floats[i];
  }
  return zero == 0;
}

Weight place(Carver& carver, WeightType type, size_t out, size_t in) {
  Weight weight{type, nullptr, nullptr, out, in};
  weight.data = carver.take<char>(out, in * bytes_of(type));
  if (type == WeightType::kInt8) weight.row_scale = carver.take<float>(out);
  return weight;
}

}  // namespace

lorakeet_decoder_model::lorakeet_decoder_model(const lorakeet_decoder_config& given, const char* device,
                                               const DecoderKernels& kernels)
    : config(given),
      device(device),
      kernels(kernels),
      arithmetic(given.arithmetic == LORAKEET_ARITHMETIC_BF16 ? Arithmetic::kBf16 : Arithmetic::kF32),
      inverse_frequencies(given.inverse_frequencies, given.inverse_frequencies + given.head_dim / 2),
      layers(given.layers) {
  const WeightType type = static_cast<WeightType>(config.weight_dtype);
  const size_t hidden = config.hidden_size;
  const auto lay_out = [&](Carver& carver) {
    embedding = place(carver, type, config.vocab_size, hidden);
    head = config.tied ? embedding : place(carver, type, config.vocab_size, hidden);
    final_norm = carver.take<float>(hidden);
    for (LayerWeights& layer : layers) {
      for (uint32_t module = 0; module < LORAKEET_MODULES; module++) {
        layer.projections[module] = place(carver, type, out_features(module), in_features(module));
        layer.biases[module] = config.biases >> module & 1 ? carver.take<float>(out_features(module)) : nullptr;
      }
      layer.input_norm = carver.take<float>(hidden);
      layer.post_attention_norm = carver.take<float>(hidden);
      layer.q_norm = config.query_key_norms ? carver.take<float>(config.head_dim) : nullptr;
      layer.k_norm = config.query_key_norms ? carver.take<float>(config.head_dim) : nullptr;
    }
  };
  Carver measure;
  lay_out(measure);
  bytes_ = measure.bytes();
  block_ = LazyBlock(bytes_);
  block_.use(bytes_);
  Carver carver(block_.data());
  lay_out(carver);
}

size_t lorakeet_decoder_model::in_features(uint32_t module) const {
  if (module == LORAKEET_O_PROJ) return query_width();
  return module == LORAKEET_DOWN_PROJ ? config.intermediate_size : config.hidden_size;
}

size_t lorakeet_decoder_model::out_features(uint32_t module) const {
  switch (module) {
    case LORAKEET_Q_PROJ:
      return query_width();
    case LORAKEET_K_PROJ:
    case LORAKEET_V_PROJ:
      return key_width();
    case LORAKEET_GATE_PROJ:
    case LORAKEET_UP_PROJ:
      return config.intermediate_size;
    default:
      return config.hidden_size;
  }
}

Weight lorakeet_decoder_model::tensor_of(uint32_t layer, uint32_t tensor) const {
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
    return vector(weights.biases[tensor - LORAKEET_BIAS], out_features(tensor - LORAKEET_BIAS));
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

bool lorakeet_decoder_model::write(uint32_t layer, uint32_t tensor, uint32_t first_row, uint32_t rows, uint32_t dtype,
                                   const void* values) {
  const Weight to = tensor_of(layer, tensor);
  const WeightType from = static_cast<WeightType>(dtype);
  const char* const source = static_cast<const char*>(values);
  std::atomic<bool> finite{true};
  for_rows(config.threads, rows, to.in, [&](size_t row) {
    if (!all_finite(from, source, row * to.in, to.in)) finite = false;
  });
  if (!finite) return false;
  for_rows(config.threads, rows, to.in, [&](size_t row) {
    const size_t target = (first_row + row) * to.in;
    if (from == to.type) {
      const size_t size = bytes_of(from);
      memcpy(static_cast<char*>(const_cast<void*>(to.data)) + target * size, source + row * to.in * size, to.in * size);
      return;
    }
    float scale = 1;
    if (to.type == WeightType::kInt8) {
      scale = row_scale(from, source, row * to.in, to.in);
      const_cast<float*>(to.row_scale)[first_row + row] = scale;
    }
    float floats[kChunk];
    for (size_t at = 0; at < to.in; at += kChunk) {
      const size_t count = to.in - at < kChunk ? to.in - at : kChunk;
      read_floats(from, source, row * to.in + at, count, floats);
      write_floats(to.type, floats, count, const_cast<void*>(to.data), target + at, scale);
    }
  });
  return true;
}

void lorakeet_decoder_model::embed(uint32_t token, float* row) const {
  const size_t columns = embedding.in;
  read_floats(embedding.type, static_cast<const char*>(embedding.data), token * columns, columns, row);
  if (embedding.row_scale) {
    for (size_t i = 0; i < columns; i++) row[i] *= embedding.row_scale[token];
  }
}
