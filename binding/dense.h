// Dense linear algebra as JavaScript calls it.
#pragma once

#include <node_api.h>

namespace lorakeet {

// multiply(instructionSet, rows, inner, columns, x, xRowStride, xColumnStride, y, yRowStride, yColumnStride, out,
//          threads)
napi_value multiply(napi_env env, napi_callback_info info);

// symmetricEigen(instructionSet, size, matrix, values): see lorakeet/dense.h
napi_value symmetric_eigen(napi_env env, napi_callback_info info);

// magnitudeAt(instructionSet, rows, rank, columns, b, a, scale, count, found, threads)
napi_value magnitude_at(napi_env env, napi_callback_info info);

// mergeEntries(instructionSet, rows, columns, ranks, b, a, numbers, election, lambda, merged, threads): `numbers` are
// scale, weight, threshold, share and both words of the key of each summand
napi_value merge_entries(napi_env env, napi_callback_info info);

}  // namespace lorakeet
