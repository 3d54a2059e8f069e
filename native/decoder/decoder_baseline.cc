// What every processor of an architecture can run, as cpu/kernels_baseline.cc has it.
#if !defined(__x86_64__) && !defined(_M_X64)
#define LORAKEET_VEC_SCALAR
#endif
#include "kernels.inl"

namespace lorakeet {

const DecoderKernels& baseline_decoder() { return kKernels; }

}  // namespace lorakeet
