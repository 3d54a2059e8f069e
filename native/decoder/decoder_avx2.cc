#include "kernels.inl"

namespace lorakeet {

const DecoderKernels& avx2_decoder() { return kKernels; }

}  // namespace lorakeet
