// Products of rows with weights as they are kept: few rows by a kernel of our own that reads the weight once, more by
// cuBLAS, in float or, where the model's arithmetic is bf16, with rows and weights rounded to it.
#pragma once

#include "run.h"

namespace lorakeet::cuda::decoder {

struct Output {
  Weight weight;
  float* y;
};

// y [rows × out] = x·Wᵀ, or y += that, for each of `count` weights with the same `in`.
void multiply_weights(const Run& run, const float* x, size_t rows, const Output* outputs, size_t count, bool add);

// d [rows × in] = dy·W, or d += that.
void multiply_back(const Run& run, const float* dy, size_t rows, const Weight& weight, float* d, bool add);

// y [rows × out] = scale · x·Mᵀ, or y += that; M [out × in], of floats.
void multiply_floats(const Run& run, const float* x, size_t rows, const float* matrix, size_t out, size_t in,
                     float scale, bool add, float* y);

}  // namespace lorakeet::cuda::decoder
