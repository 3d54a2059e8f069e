#include "blocks.inl"
#include "few_rows.inl"

namespace lorakeet {

const ProductKernels& neon_products() {
  static constexpr ProductKernels kernels = {block_kernels<FloatSteps>(), project_few};
  return kernels;
}

}  // namespace lorakeet
