// The decoder's functions that only move numbers: weights of a model, vectors of an adapter.

#include <cmath>
#include <string>

#include "check.h"
#include "decoder.h"
#include "modules.h"

namespace lorakeet {
namespace {

struct TensorSize {
  uint64_t rows, columns;  // rows 0: the model has no such tensor
};

TensorSize tensor_size(const lorakeet_decoder_config& config, bool in_layer, uint32_t tensor) {
  const uint64_t hidden = config.hidden_size, width = config.intermediate_size;
  const uint64_t query = uint64_t{config.heads} * config.head_dim;
  const uint64_t key = uint64_t{config.key_value_heads} * config.head_dim;
  if (!in_layer) {
    if (tensor == LORAKEET_FINAL_NORM) return {1, hidden};
    return {tensor == LORAKEET_EMBEDDING || !config.tied ? config.vocab_size : uint64_t{0}, hidden};
  }
  const TensorSize projections[LORAKEET_MODULES] = {{query, hidden}, {key, hidden},   {key, hidden},  {hidden, query},
                                                    {width, hidden}, {width, hidden}, {hidden, width}};
  if (tensor < LORAKEET_MODULES) return projections[tensor];
  if (tensor < LORAKEET_INPUT_NORM) {
    const uint32_t module = tensor - LORAKEET_BIAS;
    return {config.biases >> module & 1, projections[module].rows};
  }
  if (tensor < LORAKEET_Q_NORM) return {1, hidden};
  return {config.query_key_norms, config.head_dim};
}

// adapter, vector, first; the vector has to be there.
Problem read_vector(napi_env env, const napi_value* argv, std::shared_ptr<DecoderAdapter>* adapter, uint64_t* vector,
                    uint64_t* first) {
  Problem problem;
  *adapter = find_adapter(env, argv[0], &problem);
  if (problem) return problem;
  if ((problem = read_integer(env, argv[1], "vector", 0, LORAKEET_ADAPTER_VECTORS - 1.0, vector))) return problem;
  if (*vector != LORAKEET_PARAMETERS && !(*adapter)->train) {
    return {"ERR_INVALID_STATE", "adapter: got one that does not train, expected one made with { train: true }"};
  }
  return read_integer(env, argv[2], "first", 0, static_cast<double>((*adapter)->parameters), first);
}

Problem run_write_weights(napi_env env, const napi_value* argv) {
  constexpr size_t kSizes[] = {sizeof(float), sizeof(uint16_t), sizeof(uint16_t)};
  Problem problem;
  const std::shared_ptr<DecoderModel> model = find_model(env, argv[0], &problem);
  if (problem) return problem;
  const lorakeet_decoder_config& config = model->config;
  double layer = 0;
  uint64_t tensor = 0, first = 0, dtype = 0;
  if ((problem = read_number(env, argv[1], "layer", &layer))) return problem;
  if (layer != -1 && !(layer >= 0 && layer < config.layers && layer == std::floor(layer))) {
    return {"ERR_OUT_OF_RANGE", "layer: got another number, expected one of the model's layers, or -1"};
  }
  const bool in_layer = layer != -1;
  const double tensors = in_layer ? LORAKEET_LAYER_TENSORS : LORAKEET_MODEL_TENSORS;
  if ((problem = read_integer(env, argv[2], "tensor", 0, tensors - 1, &tensor))) return problem;
  if ((problem = read_integer(env, argv[4], "dtype", 0, LORAKEET_WEIGHTS_F16, &dtype))) return problem;
  const TensorSize size = tensor_size(config, in_layer, static_cast<uint32_t>(tensor));
  if (size.rows == 0) return {"ERR_INVALID_ARGUMENT", "tensor: got another, expected one that the model has"};
  if ((problem = read_integer(env, argv[3], "firstRow", 0, static_cast<double>(size.rows - 1), &first))) {
    return problem;
  }
  Span<uint8_t> bytes;
  if ((problem = read_bytes(env, argv[5], "bytes", &bytes))) return problem;
  const uint64_t row = size.columns * kSizes[dtype], rows = bytes.length / row;
  if (rows * row != bytes.length || rows < 1 || rows > size.rows - first) {
    return {"ERR_LENGTH_MISMATCH", "bytes: got " + std::to_string(bytes.length) + ", expected whole rows of " +
                                       std::to_string(row) + " bytes"};
  }
  return decoder_problem(
      model->table->write_weights(model->handle, in_layer ? static_cast<uint32_t>(layer) : LORAKEET_NO_LAYER,
                                  static_cast<uint32_t>(tensor), static_cast<uint32_t>(first),
                                  static_cast<uint32_t>(rows), static_cast<uint32_t>(dtype), bytes.data),
      "bytes");
}

Problem run_write_adapter(napi_env env, const napi_value* argv) {
  std::shared_ptr<DecoderAdapter> adapter;
  uint64_t vector = 0, first = 0;
  Span<float> values;
  if (Problem problem = read_vector(env, argv, &adapter, &vector, &first)) return problem;
  if (Problem problem = read_floats(env, argv[3], "values", &values)) return problem;
  if (values.length > adapter->parameters - first) {
    return {"ERR_OUT_OF_RANGE", "values: got " + std::to_string(values.length) + ", expected at most " +
                                    std::to_string(adapter->parameters - first)};
  }
  if (Problem problem = check_finite("values", constant(values))) return problem;
  std::unique_lock<std::shared_mutex> lock(adapter->mutex);
  return status_problem(adapter->model->table->write_adapter(adapter->handle, static_cast<uint32_t>(vector), first,
                                                             values.length, values.data));
}

Problem run_read_adapter(napi_env env, const napi_value* argv) {
  std::shared_ptr<DecoderAdapter> adapter;
  uint64_t vector = 0, first = 0;
  Span<float> values;
  if (Problem problem = read_vector(env, argv, &adapter, &vector, &first)) return problem;
  if (Problem problem = read_floats(env, argv[3], "values", &values)) return problem;
  if (values.length > adapter->parameters - first) {
    return {"ERR_OUT_OF_RANGE", "values: got room for " + std::to_string(values.length) + ", expected at most " +
                                    std::to_string(adapter->parameters - first)};
  }
  std::shared_lock<std::shared_mutex> lock(adapter->mutex);
  return status_problem(adapter->model->table->read_adapter(adapter->handle, static_cast<uint32_t>(vector), first,
                                                            values.length, values.data));
}

Problem run_truncate_cache(napi_env env, const napi_value* argv) {
  Problem problem;
  uint64_t sequence = 0, length = 0;
  const std::shared_ptr<DecoderCache> cache = find_cache(env, argv[0], &problem);
  if (problem) return problem;
  std::lock_guard<std::mutex> lock(cache->mutex);
  const double last = static_cast<double>(cache->lengths.size()) - 1;
  if ((problem = read_integer(env, argv[1], "sequence", 0, last, &sequence))) return problem;
  if ((problem = read_integer(env, argv[2], "length", 0, cache->lengths[sequence], &length))) return problem;
  cache->model->table->truncate_cache(cache->handle, static_cast<uint32_t>(sequence), static_cast<uint32_t>(length));
  cache->lengths[sequence] = static_cast<uint32_t>(length);
  return {};
}

}  // namespace

napi_value write_weights(napi_env env, napi_callback_info info) {
  return call_function<6>(env, info, run_write_weights);
}
napi_value write_adapter(napi_env env, napi_callback_info info) {
  return call_function<4>(env, info, run_write_adapter);
}
napi_value read_adapter(napi_env env, napi_callback_info info) { return call_function<4>(env, info, run_read_adapter); }
napi_value truncate_cache(napi_env env, napi_callback_info info) {
  return call_function<3>(env, info, run_truncate_cache);
}

}  // namespace lorakeet
