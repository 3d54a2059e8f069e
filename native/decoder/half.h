// IEEE half precision.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../cpu/bf16.h"

namespace lorakeet {

struct Half {
  uint16_t bits;
};

LORAKEET_BF16_FUNCTION float to_float(Half half) {
  const uint32_t sign = static_cast<uint32_t>(half.bits & 0x8000) << 16, magnitude = half.bits & 0x7fff;
  uint32_t bits = magnitude << 13;
  if (magnitude >= 0x7c00) {
    bits |= 0x7f800000;  // infinite or not a number
  } else {
    // as if the exponent were that of a float, and then scaled by what the biases differ in
    float value;
    memcpy(&value, &bits, sizeof(value));
    bits = bits_of(value * 0x1p112f);
  }
  bits |= sign;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// The nearest half, of two the even one; the largest for what lies beyond it. `value` is no NaN.
LORAKEET_BF16_FUNCTION Half nearest_half(float value) {
  const uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x477ff000) return {static_cast<uint16_t>(sign | 0x7bff)};
  if (magnitude < 0x38800000) {  // denormal: an addition lines the digits up and rounds them
    float part;
    memcpy(&part, &magnitude, sizeof(part));
    const uint32_t rounded = bits_of(part + 0.5f) - bits_of(0.5f);
    return {static_cast<uint16_t>(sign | rounded)};
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13))};
}

}  // namespace lorakeet
