#include "arguments.h"

#include <cmath>

namespace lorakeet {
namespace {

const char* kind_name(napi_typedarray_type type) {
  static const char* const names[] = {"Int8Array",    "Uint8Array",    "Uint8ClampedArray", "Int16Array",
                                      "Uint16Array",  "Int32Array",    "Uint32Array",       "Float32Array",
                                      "Float64Array", "BigInt64Array", "BigUint64Array"};
  return static_cast<size_t>(type) < sizeof(names) / sizeof(names[0]) ? names[type] : "another typed array";
}

std::string describe(napi_env env, napi_value value) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok) return "an unreadable value";
  switch (type) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number: {
      double number = 0;
      napi_get_value_double(env, value, &number);
      std::string text = std::to_string(number);
      return text;
    }
    case napi_string:
      return "a string";
    case napi_function:
      return "a function";
    case napi_object: {
      bool is_typed = false;
      napi_is_typedarray(env, value, &is_typed);
      if (!is_typed) return "an object";
      napi_typedarray_type kind;
      size_t length = 0;
      napi_get_typedarray_info(env, value, &kind, &length, nullptr, nullptr, nullptr);
      return std::string(kind_name(kind)) + "(" + std::to_string(length) + ")";
    }
    default:
      return "another kind of value";
  }
}

Problem wrong_kind(napi_env env, napi_value value, const char* name, const char* expected) {
  return {"ERR_INVALID_ARGUMENT", std::string(name) + ": got " + describe(env, value) + ", expected " + expected};
}

// A detached array has length 0 like an empty one; telling them apart is worth it only then.
bool is_detached(napi_env env, napi_value value) {
  napi_value buffer;
  bool detached = false;
  if (napi_get_typedarray_info(env, value, nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok) return false;
  if (napi_is_detached_arraybuffer(env, buffer, &detached) != napi_ok) return false;
  return detached;
}

Problem read_typed(napi_env env, napi_value value, const char* name, const char* expected, napi_typedarray_type* kind,
                   void** data, size_t* length) {
  // One call on the way that matters; what the value is instead matters only when it fails.
  if (napi_get_typedarray_info(env, value, kind, length, data, nullptr, nullptr) != napi_ok) {
    return wrong_kind(env, value, name, expected);
  }
  if (*length == 0 && is_detached(env, value)) {
    return {"ERR_LENGTH_MISMATCH", std::string(name) + ": got an array whose buffer is detached, expected " + expected};
  }
  return {};
}

template <typename T>
Problem read_kind(napi_env env, napi_value value, const char* name, napi_typedarray_type wanted, const char* expected,
                  Span<T>* out) {
  napi_typedarray_type kind;
  void* data = nullptr;
  size_t length = 0;
  if (Problem problem = read_typed(env, value, name, expected, &kind, &data, &length)) return problem;
  if (kind != wanted) return wrong_kind(env, value, name, expected);
  *out = {static_cast<T*>(data), length, true};
  return {};
}

}  // namespace

Problem read_floats(napi_env env, napi_value value, const char* name, Span<float>* out) {
  return read_kind(env, value, name, napi_float32_array, "a Float32Array", out);
}

Problem read_uint32s(napi_env env, napi_value value, const char* name, Span<const uint32_t>* out) {
  return read_kind(env, value, name, napi_uint32_array, "a Uint32Array", out);
}

Problem read_mutable_uint32s(napi_env env, napi_value value, const char* name, Span<uint32_t>* out) {
  return read_kind(env, value, name, napi_uint32_array, "a Uint32Array", out);
}

Problem read_bytes(napi_env env, napi_value value, const char* name, Span<uint8_t>* out) {
  return read_kind(env, value, name, napi_uint8_array, "a Uint8Array", out);
}

Problem read_rows(napi_env env, napi_value value, const char* name, RowsArgument* out) {
  constexpr const char* kExpected = "a Float32Array of rows or a Uint32Array of item ids";
  napi_typedarray_type kind;
  void* data = nullptr;
  size_t length = 0;
  if (Problem problem = read_typed(env, value, name, kExpected, &kind, &data, &length)) return problem;
  if (kind == napi_float32_array) {
    out->vectors = {static_cast<const float*>(data), length, true};
  } else if (kind == napi_uint32_array) {
    out->ids = {static_cast<const uint32_t*>(data), length, true};
  } else {
    return wrong_kind(env, value, name, kExpected);
  }
  return {};
}

Problem read_optional_floats(napi_env env, napi_value value, const char* name, Span<const float>* out) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_undefined) return {};
  Span<float> span;
  if (Problem problem = read_floats(env, value, name, &span)) return problem;
  *out = constant(span);
  return {};
}

Problem read_number(napi_env env, napi_value value, const char* name, double* out) {
  if (napi_get_value_double(env, value, out) != napi_ok) return wrong_kind(env, value, name, "a number");
  return {};
}

Problem read_config_number(napi_env env, napi_value object, const char* name, double min, double max, bool integer,
                           double* out) {
  napi_value value;
  double number = 0;
  const bool read = napi_get_named_property(env, object, name, &value) == napi_ok &&
                    napi_get_value_double(env, value, &number) == napi_ok;
  // written so that NaN fails
  if (!read || !(number >= min && number <= max) || (integer && number != std::floor(number))) {
    return {"ERR_INVALID_CONFIG", std::string(name) + ": got " + (read ? std::to_string(number) : "no number") +
                                      ", expected " + (integer ? "an integer" : "a number") + " from " +
                                      std::to_string(min) + " to " + std::to_string(max)};
  }
  *out = number;
  return {};
}

napi_value make_error(napi_env env, const Problem& problem) {
  napi_value code, message, error;
  napi_create_string_utf8(env, problem.code, NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, problem.message.c_str(), problem.message.size(), &message);
  napi_create_error(env, code, message, &error);
  return error;
}

napi_value throw_problem(napi_env env, const Problem& problem) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw(env, make_error(env, problem));
  return nullptr;
}

}  // namespace lorakeet
