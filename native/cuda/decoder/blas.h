// Products of matrices on the device: cuBLAS, opened at run time (blas_cublas.cc), or plain loops on the host
// (blas_host.cc).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>

#include "../device.h"

namespace lorakeet::cuda::decoder {

// c [m × n] = alpha · a·b + beta · c, row-major, sums in float; c is not read where beta is 0. a is [m × k], or [k × m]
// and transposed; b [k × n], or [n × k] and transposed. Both are float, or both bf16.
struct Product {
  size_t m, n, k;
  float alpha, beta;
  const void *a, *b;
  size_t a_stride, b_stride;  // numbers from one row to the next, as it lies in memory
  bool a_transposed, b_transposed;
  bool bf16;
  float* c;
  size_t c_stride;
};

// Why there are no products here; empty where there are.
std::string blas_missing();

// The same operands give the same bits: one stream, fixed working memory, no atomics, no TF32.
class Blas {
 public:
  // `workspace`: device memory that is its own, of kWorkspaceBytes.
  Blas(Stream& stream, void* workspace);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLAS wants on Hopper; less elsewhere

  void multiply(const Product& product);

 private:
  void* handle_ = nullptr;
};

}  // namespace lorakeet::cuda::decoder
