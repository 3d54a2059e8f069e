#if !defined(__x86_64__)
#define LORAKEET_VEC_SCALAR
#endif
#include "streams.inl"

namespace lorakeet {

const Streams* baseline_streams() {
  static constexpr Streams streams = {"baseline", kFlopsPerRound, multiply_add, read, copy, update};
  return &streams;
}

}  // namespace lorakeet
