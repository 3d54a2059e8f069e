#include "blocks.inl"

namespace lorakeet {

const BlockKernels& avx512bf16_products() {
  static constexpr BlockKernels kernels = block_kernels<Bf16Steps>();
  return kernels;
}

}  // namespace lorakeet
