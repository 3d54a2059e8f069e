#include "kernels.inl"

namespace lorakeet {

const IsaKernels* avx2_kernels() {
  static constexpr IsaKernels kernels = {"avx2", apply, update, measure, consolidate};
  return &kernels;
}

}  // namespace lorakeet
