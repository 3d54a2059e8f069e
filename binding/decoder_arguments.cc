// Reading what several of the decoder's functions take.

#include <cmath>
#include <limits>
#include <string>

#include "decoder.h"
#include "modules.h"

namespace lorakeet {
namespace {

uint64_t width(const DecoderModel& model, uint32_t module, bool out) {
  const lorakeet_decoder_config& config = model.config;
  const uint64_t query = uint64_t{config.heads} * config.head_dim;
  switch (module) {
    case LORAKEET_Q_PROJ:
      return out ? query : config.hidden_size;
    case LORAKEET_K_PROJ:
    case LORAKEET_V_PROJ:
      return out ? uint64_t{config.key_value_heads} * config.head_dim : config.hidden_size;
    case LORAKEET_O_PROJ:
      return out ? config.hidden_size : query;
    case LORAKEET_DOWN_PROJ:
      return out ? config.hidden_size : config.intermediate_size;
    default:
      return out ? config.intermediate_size : config.hidden_size;
  }
}

bool is_integer(double value, double min, double max) {
  return value >= min && value <= max && value == std::floor(value);  // written so that NaN fails
}

}  // namespace

Problem decoder_problem(lorakeet_status status, const char* what_is_not_finite) {
  if (status != LORAKEET_NOT_FINITE) return status_problem(status);
  return {"ERR_NOT_FINITE", std::string(what_is_not_finite) + ": got NaN or infinity, expected finite numbers"};
}

Problem read_integer(napi_env env, napi_value value, const char* name, double min, double max, uint64_t* out) {
  double number = 0;
  if (Problem problem = read_number(env, value, name, &number)) return problem;
  if (!is_integer(number, min, max)) {
    return {"ERR_OUT_OF_RANGE", std::string(name) + ": got " + std::to_string(number) + ", expected an integer from " +
                                    std::to_string(min) + " to " + std::to_string(max)};
  }
  *out = static_cast<uint64_t>(number);
  return {};
}

// Four numbers each: layer, module, rank, scaling.
Problem read_targets(napi_env env, napi_value value, const DecoderModel& model,
                     std::vector<lorakeet_lora_target>* targets, uint64_t* parameters) {
  napi_typedarray_type kind;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &kind, &length, &data, nullptr, nullptr) != napi_ok ||
      kind != napi_float64_array || length == 0 || length % 4 != 0) {
    return {"ERR_INVALID_ARGUMENT", "targets: got another value, expected a Float64Array of four numbers for each"};
  }
  std::vector<bool> seen(size_t{model.config.layers} * LORAKEET_MODULES);
  *parameters = 0;
  for (const double* target = static_cast<const double*>(data); length > 0; target += 4, length -= 4) {
    if (!is_integer(target[0], 0, model.config.layers - 1.0) || !is_integer(target[1], 0, LORAKEET_MODULES - 1.0) ||
        !is_integer(target[2], 1, LORAKEET_MAX_LORA_RANK) ||
        !(std::fabs(target[3]) <= std::numeric_limits<float>::max())) {
      return {"ERR_INVALID_CONFIG",
              "targets: got another layer, module, rank or scaling, expected one that the model can have"};
    }
    const lorakeet_lora_target given = {static_cast<uint32_t>(target[0]), static_cast<uint32_t>(target[1]),
                                        static_cast<uint32_t>(target[2]), static_cast<float>(target[3])};
    const size_t place = size_t{given.layer} * LORAKEET_MODULES + given.module;
    if (seen[place]) return {"ERR_INVALID_CONFIG", "targets: got a layer and module twice, expected each at most once"};
    seen[place] = true;
    targets->push_back(given);
    *parameters += given.rank * (width(model, given.module, false) + width(model, given.module, true));
  }
  return {};
}

}  // namespace lorakeet
