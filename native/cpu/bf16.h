// bf16, the upper half of a float: how Fisher and anchor may be kept. src/kernels/bf16.ts is the same in TypeScript.
//
// Everything is static: this header is compiled for every instruction set, and the linker must not choose among copies.
// The CUDA kernels use it as well.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define LORAKEET_BF16_FUNCTION static inline __host__ __device__
#else
#define LORAKEET_BF16_FUNCTION static inline
#endif

namespace lorakeet {

struct Bf16 {
  uint16_t bits;
};

LORAKEET_BF16_FUNCTION uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

LORAKEET_BF16_FUNCTION float to_float(Bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  memcpy(&result, &bits, sizeof(result));
  return result;
}

// The upper half of `bits`, a number that `above` was added to; no finite number becomes infinite.
LORAKEET_BF16_FUNCTION Bf16 upper_half(uint32_t bits, uint32_t above) {
  constexpr uint32_t kSign = 0x80000000, kLargest = 0x7f7f0000;
  const uint32_t magnitude = (bits & ~kSign) + above;
  return {static_cast<uint16_t>(((bits & kSign) | (magnitude < kLargest ? magnitude : kLargest)) >> 16)};
}

// The nearest bf16 number, of two the even one; the largest for what lies beyond it. `value` is finite.
LORAKEET_BF16_FUNCTION Bf16 nearest(float value) {
  const uint32_t bits = bits_of(value);
  return upper_half(bits, 0x7fff + ((bits >> 16) & 1));
}

// Every bit of the result depends on every bit of x (MurmurHash3's finaliser).
LORAKEET_BF16_FUNCTION uint32_t mixed(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// What the rounding of one consolidation of a slot depends on, beside the numbers themselves.
LORAKEET_BF16_FUNCTION uint32_t rounding_key(uint32_t steps, uint32_t consolidations) {
  return mixed(steps ^ mixed(consolidations + 0x9e3779b9u));
}

// One of the two neighbours of `value` (finite), the nearer the likelier, so that the rounding errors of a long sum
// cancel. Number `index` of the section; the same arguments always give the same result.
LORAKEET_BF16_FUNCTION Bf16 stochastic(float value, uint32_t key, uint32_t index) {
  const uint32_t bits = bits_of(value);
  return upper_half(bits, mixed((key + index * 0x9e3779b9u) ^ bits) & 0xffff);
}

}  // namespace lorakeet
