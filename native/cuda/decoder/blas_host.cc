#include <vector>

#include "../../cpu/bf16.h"
#include "../device_host.h"
#include "blas.h"

namespace lorakeet::cuda::decoder {
namespace {

// A row-major copy [rows × columns] in float.
std::vector<float> unpack(const void* data, size_t stride, bool transposed, bool bf16, size_t rows, size_t columns) {
  std::vector<float> values(rows * columns);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      const size_t at = transposed ? j * stride + i : i * stride + j;
      values[i * columns + j] =
          bf16 ? to_float(static_cast<const Bf16*>(data)[at]) : static_cast<const float*>(data)[at];
    }
  }
  return values;
}

}  // namespace

// The environment can take the library away, as on a machine without it.
std::string blas_missing() {
  return setting("LORAKEET_SHIM_NO_BLAS", 0) == 1 ? "cuBLAS cannot be opened: the host shim was told so" : "";
}

Blas::Blas(Stream&, void*) {}
Blas::~Blas() = default;

void Blas::multiply(const Product& product) {
  const auto [m, n, k, alpha, beta, a, b, a_stride, b_stride, a_transposed, b_transposed, bf16, c, c_stride] = product;
  fail_if_told();
  const std::vector<float> left = unpack(a, a_stride, a_transposed, bf16, m, k);
  const std::vector<float> right = unpack(b, b_stride, b_transposed, bf16, k, n);
  std::vector<float> sums(n);
  for (size_t i = 0; i < m; i++) {
    sums.assign(n, 0);
    for (size_t p = 0; p < k; p++) {
      const float factor = left[i * k + p];
      for (size_t j = 0; j < n; j++) sums[j] += factor * right[p * n + j];
    }
    for (size_t j = 0; j < n; j++) {
      float* const to = c + i * c_stride + j;
      *to = alpha * sums[j] + (beta == 0 ? 0 : beta * *to);
    }
  }
}

}  // namespace lorakeet::cuda::decoder
