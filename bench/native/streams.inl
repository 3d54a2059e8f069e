// The streams, once for all instruction sets: each streams_<isa>.cc includes this file under its own flags.

#include "streams.h"
#include "vec.h"

#define LORAKEET_UNROLL _Pragma("GCC unroll 32")

namespace lorakeet {
namespace {

// Chains of multiply-adds that depend on nothing but themselves: enough of them to hide the latency, few enough for the
// registers of every instruction set.
constexpr int kChains = 12;
constexpr int64_t kFlopsPerRound = 2 * kChains * kWidth;

float multiply_add(int64_t rounds) {
  const Vec factor = broadcast(0.999f);
  const Vec summand = broadcast(1e-3f);
  Vec chains[kChains];
  LORAKEET_UNROLL for (int i = 0; i < kChains; i++) chains[i] = broadcast(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; round++) {
    LORAKEET_UNROLL for (int i = 0; i < kChains; i++) chains[i] = fma(chains[i], factor, summand);
  }
  Vec total = zero();
  LORAKEET_UNROLL for (int i = 0; i < kChains; i++) total = add(total, chains[i]);
  return sum(total);
}

float read(const float* in, size_t floats) {
  constexpr int kSums = 8;
  Vec sums[kSums];
  LORAKEET_UNROLL for (int j = 0; j < kSums; j++) sums[j] = zero();
  for (size_t i = 0; i < floats; i += kSums * kWidth) {
    LORAKEET_UNROLL for (int j = 0; j < kSums; j++) sums[j] = add(sums[j], load(in + i + j * kWidth));
  }
  Vec total = zero();
  LORAKEET_UNROLL for (int j = 0; j < kSums; j++) total = add(total, sums[j]);
  return sum(total);
}

// Multiplies on the way, so that no compiler makes it a call of memcpy, which bypasses the caches when it is large.
void copy(float* out, const float* in, size_t floats) {
  const Vec scale = broadcast(0.999f);
  for (size_t i = 0; i < floats; i += 4 * kWidth) {
    LORAKEET_UNROLL for (int j = 0; j < 4; j++) store(out + i + j * kWidth, mul(load(in + i + j * kWidth), scale));
  }
}

void update(float* weights, float* fisher, const float* anchor, size_t floats) {
  const Vec step = broadcast(-1e-3f);
  const Vec decay = broadcast(0.999f);
  for (size_t i = 0; i < floats; i += 2 * kWidth) {
    LORAKEET_UNROLL for (int j = 0; j < 2; j++) {
      const size_t at = i + j * kWidth;
      const Vec w = load(weights + at);
      const Vec f = load(fisher + at);
      const Vec gradient = mul(f, sub(w, load(anchor + at)));
      store(weights + at, fma(gradient, step, w));
      store(fisher + at, fma(f, decay, mul(gradient, gradient)));
    }
  }
}

}  // namespace
}  // namespace lorakeet
