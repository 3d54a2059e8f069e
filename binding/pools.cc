#include "pools.h"

#include <algorithm>
#include <limits>
#include <string>

#include "modules.h"

namespace lorakeet {

void SlotStamps::begin() {
  if (++call_ != 0) return;
  for (uint32_t page = 0; page < pages_.size(); page++) {
    if (pages_[page]) std::fill_n(pages_[page].get(), page_length(page), 0u);
  }
  call_ = 1;
}

uint32_t SlotStamps::page_length(uint32_t page) const {
  return std::min(1u << kPageBits, capacity_ - (page << kPageBits));
}

bool SlotStamps::stamp(uint32_t slot) {
  const uint32_t page = slot >> kPageBits;
  if (page >= pages_.size()) pages_.resize(page + 1);
  if (!pages_[page]) {
    pages_[page] = std::make_unique<uint32_t[]>(page_length(page));
    bytes_ += page_length(page) * sizeof(uint32_t);
  }
  uint32_t& mark = pages_[page][slot & ((1u << kPageBits) - 1)];
  if (mark == call_) return false;
  mark = call_;
  return true;
}

bool SlotStamps::stamped(uint32_t slot) const {
  const uint32_t page = slot >> kPageBits;
  return page < pages_.size() && pages_[page] && pages_[page][slot & ((1u << kPageBits) - 1)] == call_;
}

Pool::~Pool() {
  if (handle) kernels->destroy_pool(handle);
}

size_t Pool::slab_length() const {
  size_t sections = 1;
  if (config.ewc != LORAKEET_EWC_NONE) sections += 2;
  if (config.optimizer == LORAKEET_ADAMW) sections += 2;
  return sections * config.rank * (static_cast<size_t>(config.in_features) + config.out_features);
}

Environment* environment(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Environment*>(data);
}

std::shared_ptr<Pool> find_pool(napi_env env, napi_value number, Problem* problem) {
  uint32_t id = 0;
  Environment* ours = environment(env);
  if (napi_get_value_uint32(env, number, &id) == napi_ok) {
    const auto found = ours->pools.find(id);
    if (found != ours->pools.end()) return found->second;
  }
  *problem = {"ERR_POOL_CLOSED", "pool: got a pool that is closed, expected an open one"};
  return nullptr;
}

void report_memory(napi_env env, Pool& pool) {
  const int64_t bytes = static_cast<int64_t>(pool.memory_bytes());
  if (bytes == pool.reported_bytes) return;
  int64_t total;
  napi_adjust_external_memory(env, bytes - pool.reported_bytes, &total);
  pool.reported_bytes = bytes;
}

namespace {

Problem read_config(napi_env env, napi_value object, lorakeet_pool_config* config) {
  constexpr double kAny = std::numeric_limits<double>::infinity();
  constexpr double kFinite = std::numeric_limits<float>::max();
  struct Field {
    const char* name;
    double min, max;
    uint32_t* integer;
    double* number;
  };
  const Field fields[] = {
      {"rank", 1, 256, &config->rank, nullptr},
      {"inFeatures", 1, 8192, &config->in_features, nullptr},
      {"outFeatures", 1, 8192, &config->out_features, nullptr},
      {"capacity", 1, 2147483647.0, &config->capacity, nullptr},
      {"threads", 1, 256, &config->threads, nullptr},
      {"residual", 0, 1, &config->residual, nullptr},
      {"optimizer", 0, 1, &config->optimizer, nullptr},
      {"ewc", 0, 2, &config->ewc, nullptr},
      {"stateDtype", 0, 1, &config->state_dtype, nullptr},
      {"scaling", -kFinite, kFinite, nullptr, &config->scaling},
      {"learningRate", 0, kFinite, nullptr, &config->learning_rate},
      {"maxGradNorm", std::numeric_limits<double>::min(), kAny, nullptr, &config->max_grad_norm},
      {"ewcLambda", 0, kFinite, nullptr, &config->ewc_lambda},
      {"beta1", 0, 1, nullptr, &config->beta1},
      {"beta2", 0, 1, nullptr, &config->beta2},
      {"epsilon", 0, kFinite, nullptr, &config->epsilon},
      {"weightDecay", 0, kFinite, nullptr, &config->weight_decay},
  };
  for (const Field& field : fields) {
    double value = 0;
    if (Problem problem = read_config_number(env, object, field.name, field.min, field.max, field.integer, &value)) {
      return problem;
    }
    if (field.integer) {
      *field.integer = static_cast<uint32_t>(value);
    } else {
      *field.number = value;
    }
  }
  if (config->residual && config->in_features != config->out_features) {
    return {"ERR_INVALID_CONFIG", "residual: got true, expected false because inFeatures differs from outFeatures"};
  }
  return {};
}

std::string read_string(napi_env env, napi_value value) {
  char text[64];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, text, sizeof(text), &length) != napi_ok) return {};
  return std::string(text, length);
}

}  // namespace

// createPool(device: 'cpu' | 'cuda', instructionSet: string, config: object of numbers): number
napi_value create_pool(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  size_t argc = 3;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  std::string reason;
  const lorakeet_kernels* kernels = find_kernels(read_string(env, argv[0]), read_string(env, argv[1]), &reason);
  if (!kernels) return throw_problem(env, {"ERR_BACKEND_UNAVAILABLE", reason});

  napi_valuetype type;
  if (napi_typeof(env, argv[2], &type) != napi_ok || type != napi_object) {
    return throw_problem(env, {"ERR_INVALID_CONFIG", "config: got no object, expected an object of numbers"});
  }
  lorakeet_pool_config config{};
  if (Problem problem = read_config(env, argv[2], &config)) return throw_problem(env, problem);
  if (!(kernels->state_dtypes & 1u << config.state_dtype)) {
    return throw_problem(env, {"ERR_BACKEND_UNAVAILABLE",
                               std::string("stateDtype: ") + kernels->device + " does not keep what was asked for"});
  }
  auto pool = std::make_shared<Pool>(kernels, config);
  const lorakeet_status status = kernels->create_pool(&config, &pool->handle);
  if (status != LORAKEET_OK) return throw_problem(env, status_problem(status));

  Environment* ours = environment(env);
  const uint32_t id = ours->next++;
  ours->pools.emplace(id, std::move(pool));
  napi_value result;
  napi_create_uint32(env, id, &result);
  return result;
}

// closePool(pool: number): work under way keeps the pool's memory until it is done.
napi_value close_pool(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  uint32_t id = 0;
  if (napi_get_value_uint32(env, argv[0], &id) != napi_ok) return nullptr;
  Environment* ours = environment(env);
  const auto found = ours->pools.find(id);
  if (found == ours->pools.end()) return nullptr;
  int64_t total;
  napi_adjust_external_memory(env, -found->second->reported_bytes, &total);
  ours->pools.erase(found);
  return nullptr;
}

// memoryBytes(pool: number): number
napi_value memory_bytes(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  const std::shared_ptr<Pool> pool = find_pool(env, argv[0], &problem);
  if (!pool) return throw_problem(env, problem);
  std::lock_guard<std::mutex> lock(pool->mutex);
  napi_value result;
  napi_create_double(env, static_cast<double>(pool->memory_bytes()), &result);
  return result;
}

}  // namespace lorakeet
