// Reading JavaScript values: typed arrays with their kind, and the errors for anything else. Raw N-API, because these
// run on every kernel call. Nothing here keeps a pointer past the call.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace lorakeet {

// What is wrong with a call: code null means nothing is. The message names the argument, its value and what was
// expected.
struct Problem {
  const char* code = nullptr;
  std::string message;
  explicit operator bool() const { return code != nullptr; }
};

template <typename T>
struct Span {
  T* data = nullptr;
  size_t length = 0;
  bool given = false;  // false: the optional argument was undefined
};

// Rows as vectors or as ids; exactly one of the two is given.
struct RowsArgument {
  Span<const float> vectors;
  Span<const uint32_t> ids;
};

Problem read_floats(napi_env env, napi_value value, const char* name, Span<float>* out);
Problem read_uint32s(napi_env env, napi_value value, const char* name, Span<const uint32_t>* out);
Problem read_mutable_uint32s(napi_env env, napi_value value, const char* name, Span<uint32_t>* out);
Problem read_bytes(napi_env env, napi_value value, const char* name, Span<uint8_t>* out);
Problem read_rows(napi_env env, napi_value value, const char* name, RowsArgument* out);
// undefined leaves out->given false
Problem read_optional_floats(napi_env env, napi_value value, const char* name, Span<const float>* out);
Problem read_number(napi_env env, napi_value value, const char* name, double* out);
Problem read_config_number(napi_env env, napi_value object, const char* name, double min, double max, bool integer,
                           double* out);

inline Span<const float> constant(const Span<float>& span) { return {span.data, span.length, span.given}; }

napi_value make_error(napi_env env, const Problem& problem);
napi_value throw_problem(napi_env env, const Problem& problem);

// An exported function of Count arguments that returns nothing: throws what `body` finds wrong.
template <size_t Count>
napi_value call_function(napi_env env, napi_callback_info info, Problem (*body)(napi_env, const napi_value*)) {
  napi_value argv[Count];
  size_t argc = Count;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  const Problem problem = body(env, argv);
  return problem ? throw_problem(env, problem) : nullptr;
}

}  // namespace lorakeet
