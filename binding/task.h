// Work on one of Node's worker threads: arguments are taken and results made on the environment's own thread.
#pragma once

#include <node_api.h>

#include <cstring>
#include <memory>
#include <vector>

#include "arguments.h"

namespace lorakeet {

class Task {
 public:
  virtual ~Task() = default;
  // On a worker thread. Sets `problem` where it fails.
  virtual void run() = 0;
  // Afterwards, on the environment's thread: what the promise resolves to, or null where there is no memory for it.
  virtual napi_value result(napi_env env) = 0;

  Problem problem;

 private:
  friend napi_value start_task(napi_env env, std::unique_ptr<Task> task, const char* name);
  static void execute(napi_env env, void* data);
  static void complete(napi_env env, napi_status status, void* data);

  napi_async_work work_ = nullptr;
  napi_deferred deferred_ = nullptr;
};

// The promise of the task's result. Throws in JavaScript, and returns null, where it cannot be queued.
napi_value start_task(napi_env env, std::unique_ptr<Task> task, const char* name);

// A fresh array; null where there is no memory for it.
template <typename T>
napi_value typed_array(napi_env env, napi_typedarray_type type, const std::vector<T>& values) {
  napi_value buffer, array;
  void* data = nullptr;
  if (napi_create_arraybuffer(env, values.size() * sizeof(T), &data, &buffer) != napi_ok) return nullptr;
  if (!values.empty()) memcpy(data, values.data(), values.size() * sizeof(T));
  if (napi_create_typedarray(env, type, values.size(), buffer, 0, &array) != napi_ok) return nullptr;
  return array;
}

inline napi_value undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

}  // namespace lorakeet
