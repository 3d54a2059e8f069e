#include "eigen.inl"
#include "multiply.inl"

namespace lorakeet {

const DenseKernels& baseline_dense() {
  static constexpr DenseKernels kernels = {multiply_block, eigen};
  return kernels;
}

}  // namespace lorakeet
