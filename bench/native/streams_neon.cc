#include "streams.inl"

namespace lorakeet {

const Streams* neon_streams() {
  static constexpr Streams streams = {"neon", kFlopsPerRound, multiply_add, read, copy, update};
  return &streams;
}

}  // namespace lorakeet
