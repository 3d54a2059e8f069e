#include "eigen.inl"
#include "entries.inl"
#include "multiply.inl"

namespace lorakeet {

const DenseKernels& avx512_dense() {
  static constexpr DenseKernels kernels = {multiply_block, eigen, count_magnitudes, merge_entries};
  return kernels;
}

}  // namespace lorakeet
