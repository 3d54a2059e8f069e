// As ../cpu/kernels_baseline.cc: what every processor of an architecture can run.
#if !defined(__x86_64__) && !defined(_M_X64)
#define LORAKEET_VEC_SCALAR
#endif
#include "blocks.inl"
#include "few_rows.inl"

namespace lorakeet {

const ProductKernels& baseline_products() {
  static constexpr ProductKernels kernels = {block_kernels<FloatSteps>(), project_few};
  return kernels;
}

}  // namespace lorakeet
