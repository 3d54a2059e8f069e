// Making, finding and closing the decoder's objects.

#include <cmath>
#include <limits>
#include <string>

#include "decoder.h"
#include "modules.h"
#include "pools.h"

namespace lorakeet {

DecoderModel::~DecoderModel() {
  if (handle) table->destroy_model(handle);
}
DecoderAdapter::~DecoderAdapter() {
  if (handle) model->table->destroy_adapter(handle);
}
DecoderPass::~DecoderPass() {
  if (handle) model->table->destroy_pass(handle);
}
DecoderCache::~DecoderCache() {
  if (handle) model->table->destroy_cache(handle);
}

namespace {

template <typename Object>
using Objects = std::unordered_map<uint32_t, std::shared_ptr<Object>>;

template <typename Object>
std::shared_ptr<Object> find(napi_env env, const Objects<Object>& objects, napi_value number, const char* kind,
                             Problem* problem) {
  uint32_t id = 0;
  if (napi_get_value_uint32(env, number, &id) == napi_ok) {
    const auto found = objects.find(id);
    if (found != objects.end()) return found->second;
  }
  *problem = {"ERR_CLOSED", std::string(kind) + ": it has been closed"};
  return nullptr;
}

void report(napi_env env, int64_t bytes) {
  int64_t total;
  if (bytes != 0) napi_adjust_external_memory(env, bytes, &total);
}

template <typename Object>
napi_value keep(napi_env env, Objects<Object>* objects, std::shared_ptr<Object> object) {
  const uint32_t id = environment(env)->decoder.next++;
  objects->emplace(id, std::move(object));
  napi_value result;
  napi_create_uint32(env, id, &result);
  return result;
}

// Work under way keeps the object until it is done, and an object the model that it was made of.
template <typename Object>
napi_value close(napi_env env, napi_callback_info info, Objects<Object>* objects) {
  napi_value argv[1];
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  uint32_t id = 0;
  if (napi_get_value_uint32(env, argv[0], &id) != napi_ok) return nullptr;
  const auto found = objects->find(id);
  if (found == objects->end()) return nullptr;
  if constexpr (!std::is_same_v<Object, DecoderPass>) report(env, -found->second->bytes);
  objects->erase(found);
  return nullptr;
}

DecoderObjects& ours(napi_env env) { return environment(env)->decoder; }

std::string read_string(napi_env env, napi_value value) {
  char text[64];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, text, sizeof(text), &length) != napi_ok) return {};
  return std::string(text, length);
}

Problem read_model_config(napi_env env, napi_value object, lorakeet_decoder_config* config) {
  constexpr double kSize = 1 << 24;
  struct Field {
    const char* name;
    double min, max;
    uint32_t* integer;
  };
  const Field fields[] = {
      {"vocabSize", 1, kSize, &config->vocab_size},
      {"hiddenSize", 1, kSize, &config->hidden_size},
      {"intermediateSize", 1, kSize, &config->intermediate_size},
      {"layers", 1, 4096, &config->layers},
      {"heads", 1, kSize, &config->heads},
      {"keyValueHeads", 1, kSize, &config->key_value_heads},
      {"headDim", 2, kSize, &config->head_dim},
      {"biases", 0, (1 << LORAKEET_MODULES) - 1, &config->biases},
      {"queryKeyNorms", 0, 1, &config->query_key_norms},
      {"tied", 0, 1, &config->tied},
      {"weightStorage", 0, LORAKEET_WEIGHTS_INT8, &config->weight_dtype},
      {"arithmetic", 0, LORAKEET_ARITHMETIC_BF16, &config->arithmetic},
      {"threads", 1, 1024, &config->threads},
  };
  double value = 0;
  for (const Field& field : fields) {
    if (Problem problem = read_config_number(env, object, field.name, field.min, field.max, true, &value)) {
      return problem;
    }
    *field.integer = static_cast<uint32_t>(value);
  }
  if (Problem problem =
          read_config_number(env, object, "rmsNormEps", 0, std::numeric_limits<float>::max(), false, &value)) {
    return problem;
  }
  config->rms_norm_eps = static_cast<float>(value);
  if (config->head_dim % 2 || config->heads % config->key_value_heads) {
    return {"ERR_INVALID_CONFIG", "headDim, keyValueHeads: got others, expected an even number and a divisor of heads"};
  }
  return {};
}

}  // namespace

std::shared_ptr<DecoderModel> find_model(napi_env env, napi_value number, Problem* problem) {
  return find(env, ours(env).models, number, "model", problem);
}
std::shared_ptr<DecoderAdapter> find_adapter(napi_env env, napi_value number, Problem* problem) {
  return find(env, ours(env).adapters, number, "adapter", problem);
}
std::shared_ptr<DecoderPass> find_pass(napi_env env, napi_value number, Problem* problem) {
  return find(env, ours(env).passes, number, "pass", problem);
}
std::shared_ptr<DecoderCache> find_cache(napi_env env, napi_value number, Problem* problem) {
  return find(env, ours(env).caches, number, "cache", problem);
}

napi_value create_model(napi_env env, napi_callback_info info) {
  napi_value argv[4], result;
  size_t argc = 4;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  std::string reason;
  auto model = std::make_shared<DecoderModel>();
  model->table = find_decoder(read_string(env, argv[0]), read_string(env, argv[1]), &reason);
  if (!model->table) return throw_problem(env, {"ERR_BACKEND_UNAVAILABLE", reason});
  napi_valuetype type;
  if (napi_typeof(env, argv[2], &type) != napi_ok || type != napi_object) {
    return throw_problem(env, {"ERR_INVALID_CONFIG", "config: got no object, expected an object of numbers"});
  }
  model->config = {};
  if (Problem problem = read_model_config(env, argv[2], &model->config)) return throw_problem(env, problem);
  napi_typedarray_type kind;
  size_t length = 0;
  void* frequencies = nullptr;
  if (napi_get_typedarray_info(env, argv[3], &kind, &length, &frequencies, nullptr, nullptr) != napi_ok ||
      kind != napi_float64_array || length != model->config.head_dim / 2) {
    return throw_problem(
        env, {"ERR_INVALID_CONFIG", "inverseFrequencies: got another value, expected a Float64Array of headDim / 2"});
  }
  lorakeet_decoder_config config = model->config;
  config.inverse_frequencies = static_cast<const double*>(frequencies);
  const lorakeet_status status = model->table->create_model(&config, &model->handle);
  if (status != LORAKEET_OK) return throw_problem(env, status_problem(status));
  model->bytes = static_cast<int64_t>(model->table->model_bytes(model->handle));
  report(env, model->bytes);
  result = keep(env, &ours(env).models, std::move(model));
  return result;
}

napi_value create_adapter(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  size_t argc = 3;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  auto adapter = std::make_shared<DecoderAdapter>();
  std::vector<lorakeet_lora_target> targets;
  uint64_t train = 0;
  adapter->model = find_model(env, argv[0], &problem);
  if (!problem) problem = read_targets(env, argv[1], *adapter->model, &targets, &adapter->parameters);
  if (!problem) problem = read_integer(env, argv[2], "train", 0, 1, &train);
  if (problem) return throw_problem(env, problem);
  adapter->train = train != 0;
  const DecoderModel& model = *adapter->model;
  const lorakeet_status status = model.table->create_adapter(
      model.handle, targets.data(), static_cast<uint32_t>(targets.size()), adapter->train, &adapter->handle);
  if (status != LORAKEET_OK) return throw_problem(env, status_problem(status));
  adapter->bytes = static_cast<int64_t>(adapter->parameters * sizeof(float)) *
                   (adapter->train ? int64_t{LORAKEET_ADAPTER_VECTORS} : 1);
  report(env, adapter->bytes);
  return keep(env, &ours(env).adapters, std::move(adapter));
}

napi_value create_pass(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  auto pass = std::make_shared<DecoderPass>();
  pass->model = find_model(env, argv[0], &problem);
  if (problem) return throw_problem(env, problem);
  const lorakeet_status status = pass->model->table->create_pass(pass->model->handle, &pass->handle);
  if (status != LORAKEET_OK) return throw_problem(env, status_problem(status));
  return keep(env, &ours(env).passes, std::move(pass));
}

namespace {

// model, sequences, positions
Problem read_cache_size(napi_env env, const napi_value* argv, std::shared_ptr<DecoderModel>* model, uint32_t* sequences,
                        uint32_t* positions) {
  Problem problem;
  uint64_t number = 0;
  *model = find_model(env, argv[0], &problem);
  if (problem) return problem;
  if ((problem = read_integer(env, argv[1], "sequences", 1, 1 << 20, &number))) return problem;
  *sequences = static_cast<uint32_t>(number);
  if ((problem = read_integer(env, argv[2], "positions", 1, 1 << 24, &number))) return problem;
  *positions = static_cast<uint32_t>(number);
  return {};
}

}  // namespace

napi_value create_cache(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  size_t argc = 3;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  auto cache = std::make_shared<DecoderCache>();
  uint32_t sequences = 0;
  if (Problem problem = read_cache_size(env, argv, &cache->model, &sequences, &cache->positions)) {
    return throw_problem(env, problem);
  }
  const DecoderModel& model = *cache->model;
  cache->lengths.resize(sequences);
  const lorakeet_status status = model.table->create_cache(model.handle, sequences, cache->positions, &cache->handle);
  if (status != LORAKEET_OK) return throw_problem(env, status_problem(status));
  cache->bytes = static_cast<int64_t>(model.table->cache_bytes(model.handle, sequences, cache->positions));
  report(env, cache->bytes);
  return keep(env, &ours(env).caches, std::move(cache));
}

napi_value cache_bytes(napi_env env, napi_callback_info info) {
  napi_value argv[3], result;
  size_t argc = 3;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  std::shared_ptr<DecoderModel> model;
  uint32_t sequences = 0, positions = 0;
  if (Problem problem = read_cache_size(env, argv, &model, &sequences, &positions)) return throw_problem(env, problem);
  napi_create_double(env, static_cast<double>(model->table->cache_bytes(model->handle, sequences, positions)), &result);
  return result;
}

napi_value model_bytes(napi_env env, napi_callback_info info) {
  napi_value argv[1], result;
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  const std::shared_ptr<DecoderModel> model = find_model(env, argv[0], &problem);
  if (problem) return throw_problem(env, problem);
  napi_create_double(env, static_cast<double>(model->bytes), &result);
  return result;
}

napi_value close_model(napi_env env, napi_callback_info info) { return close(env, info, &ours(env).models); }
napi_value close_adapter(napi_env env, napi_callback_info info) { return close(env, info, &ours(env).adapters); }
napi_value close_pass(napi_env env, napi_callback_info info) { return close(env, info, &ours(env).passes); }
napi_value close_cache(napi_env env, napi_callback_info info) { return close(env, info, &ours(env).caches); }

}  // namespace lorakeet
