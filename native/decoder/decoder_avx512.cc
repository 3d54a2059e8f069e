#include "kernels.inl"

namespace lorakeet {

const DecoderKernels& avx512_decoder() { return kKernels; }

}  // namespace lorakeet
