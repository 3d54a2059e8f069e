#include "kernels.inl"

namespace lorakeet {

const IsaKernels* avx512_kernels() {
  static constexpr IsaKernels kernels = {"avx512", apply, update, measure, consolidate};
  return &kernels;
}

}  // namespace lorakeet
