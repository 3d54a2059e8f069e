#include "streams.inl"

namespace lorakeet {

const Streams* avx512_streams() {
  static constexpr Streams streams = {"avx512", kFlopsPerRound, multiply_add, read, copy, update};
  return &streams;
}

}  // namespace lorakeet
