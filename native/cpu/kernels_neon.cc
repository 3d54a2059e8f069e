#include "kernels.inl"

namespace lorakeet {

const IsaKernels* neon_kernels() {
  static constexpr IsaKernels kernels = {"neon", apply, update, measure, consolidate};
  return &kernels;
}

}  // namespace lorakeet
