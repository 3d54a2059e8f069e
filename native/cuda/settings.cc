#include "settings.h"

#include <stdlib.h>

#include <algorithm>

#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif

namespace lorakeet::cuda {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* value = getenv(name);
  return value && *value ? strtoull(value, nullptr, 10) : otherwise;
}

uint64_t machine_memory() {
#if defined(_WIN32)
  MEMORYSTATUSEX status = {};
  status.dwLength = sizeof(status);
  return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
#else
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
#endif
}

}  // namespace

Model make_model(const lorakeet_pool_config& config) {
  Model model = {};
  model.rank = config.rank;
  model.in_features = config.in_features;
  model.out_features = config.out_features;
  model.residual = config.residual;
  model.adamw = config.optimizer == LORAKEET_ADAMW;
  model.ewc = config.ewc;
  model.bf16 = config.state_dtype == LORAKEET_BF16;
  model.scaling = static_cast<float>(config.scaling);
  model.weight_decay = static_cast<float>(config.weight_decay);
  if (model.adamw) {
    model.epsilon = std::max(static_cast<float>(config.epsilon), FLT_MIN);
    model.beta1 = static_cast<float>(config.beta1);
    model.beta2 = static_cast<float>(config.beta2);
    model.beta1_rest = static_cast<float>(1 - config.beta1);
    model.beta2_rest = static_cast<float>(1 - config.beta2);
    model.log_beta1 = static_cast<float>(log(config.beta1));
    model.log_beta2 = static_cast<float>(log(config.beta2));
  }
  return model;
}

uint64_t device_budget() { return from_environment("LORAKEET_CUDA_DEVICE_BYTES", UINT64_MAX); }
uint64_t host_budget() { return from_environment("LORAKEET_CUDA_HOST_BYTES", machine_memory() / 2); }

}  // namespace lorakeet::cuda
