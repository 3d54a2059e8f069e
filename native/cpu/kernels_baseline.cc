// What every processor of an architecture can run: SSE2 on x86-64, plain C++ everywhere else. Slow, and kept for ever:
// it is the fallback for processors nobody thought of, and on arm64 the independent check of the NEON build.
#if !defined(__x86_64__) && !defined(_M_X64)
#define LORAKEET_VEC_SCALAR
#endif
#include "kernels.inl"

namespace lorakeet {

const IsaKernels* baseline_kernels() {
  static constexpr IsaKernels kernels = {"baseline", apply, update, measure, consolidate};
  return &kernels;
}

}  // namespace lorakeet
