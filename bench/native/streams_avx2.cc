#include "streams.inl"

namespace lorakeet {

const Streams* avx2_streams() {
  static constexpr Streams streams = {"avx2", kFlopsPerRound, multiply_add, read, copy, update};
  return &streams;
}

}  // namespace lorakeet
