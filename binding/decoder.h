// The language-model decoder as JavaScript calls it: models, adapters, passes and caches by number, as pools are.
#pragma once

#include <node_api.h>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "arguments.h"
#include "lorakeet/decoder.h"

namespace lorakeet {

// A native object, and what it keeps alive. Memory is reported to the garbage collector while its number is known.
struct DecoderModel {
  ~DecoderModel();
  const lorakeet_decoder* table;
  lorakeet_decoder_config config;  // without inverse_frequencies
  lorakeet_decoder_model* handle = nullptr;
  int64_t bytes = 0;
};

struct DecoderAdapter {
  ~DecoderAdapter();
  std::shared_ptr<DecoderModel> model;
  lorakeet_decoder_adapter* handle = nullptr;
  bool train;
  uint64_t parameters;
  int64_t bytes = 0;
  std::shared_mutex mutex;  // shared by calls that only read it
};

struct DecoderPass {
  ~DecoderPass();
  std::shared_ptr<DecoderModel> model;
  lorakeet_decoder_pass* handle = nullptr;
  std::mutex mutex;
  // Guarded by it: whose forward can be followed by a backward, and what that has to be given.
  std::shared_ptr<DecoderAdapter> kept;
  size_t kept_targets = 0;
  bool has_coefficients = false;
};

struct DecoderCache {
  ~DecoderCache();
  std::shared_ptr<DecoderModel> model;
  lorakeet_decoder_cache* handle = nullptr;
  uint32_t positions;
  int64_t bytes = 0;
  std::mutex mutex;
  std::vector<uint32_t> lengths;  // guarded by it
};

// Those of one environment. A number belongs to one object of one kind, and to no other afterwards.
struct DecoderObjects {
  std::unordered_map<uint32_t, std::shared_ptr<DecoderModel>> models;
  std::unordered_map<uint32_t, std::shared_ptr<DecoderAdapter>> adapters;
  std::unordered_map<uint32_t, std::shared_ptr<DecoderPass>> passes;
  std::unordered_map<uint32_t, std::shared_ptr<DecoderCache>> caches;
  uint32_t next = 1;
};

// Null and a problem where the number belongs to no open object of that kind.
std::shared_ptr<DecoderModel> find_model(napi_env env, napi_value number, Problem* problem);
std::shared_ptr<DecoderAdapter> find_adapter(napi_env env, napi_value number, Problem* problem);
std::shared_ptr<DecoderPass> find_pass(napi_env env, napi_value number, Problem* problem);
std::shared_ptr<DecoderCache> find_cache(napi_env env, napi_value number, Problem* problem);

// As status_problem(), for what LORAKEET_NOT_FINITE means here.
Problem decoder_problem(lorakeet_status status, const char* what_is_not_finite);

// An integer from min to max, or ERR_OUT_OF_RANGE.
Problem read_integer(napi_env env, napi_value value, const char* name, double min, double max, uint64_t* out);
Problem read_targets(napi_env env, napi_value value, const DecoderModel& model,
                     std::vector<lorakeet_lora_target>* targets, uint64_t* parameters);

// src/llm/decoder/native/addon.ts has what these take and return.
napi_value create_model(napi_env env, napi_callback_info info);
napi_value close_model(napi_env env, napi_callback_info info);
napi_value model_bytes(napi_env env, napi_callback_info info);
napi_value write_weights(napi_env env, napi_callback_info info);
napi_value create_adapter(napi_env env, napi_callback_info info);
napi_value close_adapter(napi_env env, napi_callback_info info);
napi_value write_adapter(napi_env env, napi_callback_info info);
napi_value read_adapter(napi_env env, napi_callback_info info);
napi_value step_adapter(napi_env env, napi_callback_info info);
napi_value add_fisher(napi_env env, napi_callback_info info);
napi_value create_pass(napi_env env, napi_callback_info info);
napi_value close_pass(napi_env env, napi_callback_info info);
napi_value pass_bytes(napi_env env, napi_callback_info info);
napi_value forward(napi_env env, napi_callback_info info);
napi_value backward(napi_env env, napi_callback_info info);
napi_value create_cache(napi_env env, napi_callback_info info);
napi_value close_cache(napi_env env, napi_callback_info info);
napi_value cache_bytes(napi_env env, napi_callback_info info);
napi_value truncate_cache(napi_env env, napi_callback_info info);
napi_value decode(napi_env env, napi_callback_info info);

}  // namespace lorakeet
