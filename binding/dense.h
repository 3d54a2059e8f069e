// Dense linear algebra as JavaScript calls it.
#pragma once

#include <node_api.h>

namespace lorakeet {

// multiply(instructionSet, rows, inner, columns, x, xRowStride, xColumnStride, y, yRowStride, yColumnStride, out,
//          threads)
napi_value multiply(napi_env env, napi_callback_info info);

// symmetricEigen(instructionSet, size, matrix, values): see lorakeet/dense.h
napi_value symmetric_eigen(napi_env env, napi_callback_info info);

}  // namespace lorakeet
