#include "kernels.inl"

namespace lorakeet {

const DecoderKernels& neon_decoder() { return kKernels; }

}  // namespace lorakeet
