// One kernel call from checked arguments to result, on whatever thread: takes the pool's mutex, checks, runs.
#pragma once

#include "check.h"

namespace lorakeet {

struct ReportArguments {
  Span<float> loss, grad_norm;
  Span<uint8_t> flags;
};

Problem run_apply(Pool& pool, const ApplyArguments& arguments, const Span<float>& y);
Problem run_update(Pool& pool, const UpdateArguments& arguments, const ReportArguments& report);
Problem run_consolidate(Pool& pool, const ConsolidateArguments& arguments);

// The synchronous operations as JavaScript calls them.
napi_value write(napi_env env, napi_callback_info info);
napi_value read(napi_env env, napi_callback_info info);
napi_value copy(napi_env env, napi_callback_info info);
napi_value clear(napi_env env, napi_callback_info info);
napi_value bind_items(napi_env env, napi_callback_info info);
napi_value apply(napi_env env, napi_callback_info info);
napi_value update(napi_env env, napi_callback_info info);
napi_value consolidate(napi_env env, napi_callback_info info);

// firstNonFinite(values, copy?): number
napi_value first_non_finite(napi_env env, napi_callback_info info);

// misalignment(values): number
napi_value misalignment(napi_env env, napi_callback_info info);

// The asynchronous ones; see async.cc.
napi_value apply_async(napi_env env, napi_callback_info info);
napi_value update_async(napi_env env, napi_callback_info info);
napi_value consolidate_async(napi_env env, napi_callback_info info);

// Reading the arguments that the synchronous and the asynchronous forms share. argv starts behind the pool.
Problem read_apply(napi_env env, const napi_value* argv, ApplyArguments* arguments);
Problem read_update(napi_env env, const napi_value* argv, UpdateArguments* arguments);
Problem read_consolidate(napi_env env, const napi_value* argv, ConsolidateArguments* arguments);

}  // namespace lorakeet
