// What the decoder's passes need beside cpu/vec.h: parts of vectors at the end of a row, and exp.
#pragma once

#include <string.h>

#include "../cpu/vec.h"

namespace {

LORAKEET_INLINE size_t fewer(size_t a, size_t b) { return a < b ? a : b; }

// The next kWidth of the n numbers that are left; what is missing is 0.
LORAKEET_INLINE Vec load_some(const float* p, size_t n) {
  if (n >= kWidth) return load(p);
  float part[kWidth] = {};
  memcpy(part, p, n * sizeof(float));
  return load(part);
}

LORAKEET_INLINE void store_some(float* p, Vec v, size_t n) {
  if (n >= kWidth) return store(p, v);
  float part[kWidth];
  store(part, v);
  memcpy(p, part, n * sizeof(float));
}

// v · 2ⁿ, where `bits` are those of a float whose lowest bits hold n. Neither v nor the result is 0, denormal or
// infinite.
#if defined(LORAKEET_VEC_AVX512)
LORAKEET_INLINE Vec times_power(Vec v, Vec bits) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(bits), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), exponent));
}
LORAKEET_INLINE Vec smaller(Vec a, Vec b) { return _mm512_min_ps(a, b); }
#elif defined(LORAKEET_VEC_AVX2)
LORAKEET_INLINE Vec times_power(Vec v, Vec bits) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(bits), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), exponent));
}
LORAKEET_INLINE Vec smaller(Vec a, Vec b) { return _mm256_min_ps(a, b); }
#elif defined(LORAKEET_VEC_NEON)
LORAKEET_INLINE Vec times_power(Vec v, Vec bits) {
  return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), vshlq_n_s32(vreinterpretq_s32_f32(bits), 23)));
}
LORAKEET_INLINE Vec smaller(Vec a, Vec b) { return vminq_f32(a, b); }
#elif defined(LORAKEET_VEC_SSE2)
LORAKEET_INLINE Vec times_power(Vec v, Vec bits) {
  const __m128i exponent = _mm_slli_epi32(_mm_castps_si128(bits), 23);
  return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(v), exponent));
}
LORAKEET_INLINE Vec smaller(Vec a, Vec b) { return _mm_min_ps(a, b); }
#else
LORAKEET_INLINE Vec times_power(Vec v, Vec bits) {
  const uint32_t sum = lorakeet::bits_of(v.v) + (lorakeet::bits_of(bits.v) << 23);
  memcpy(&v.v, &sum, sizeof(sum));
  return v;
}
LORAKEET_INLINE Vec smaller(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
#endif

// exp(x) to 2 units in the last place for x from −86 to 88, and as at the nearer end outside. NaN stays NaN: of the two
// operands, the processor's minimum and maximum give the second then.
// Range reduction to |r| ≤ ln 2 / 2 and the polynomial of Cephes' expf (Moshier).
LORAKEET_INLINE Vec exponential(Vec x) {
  x = smaller(broadcast(88.0f), larger(broadcast(-86.0f), x));
  // 1.5 · 2²³ added: the lowest bits of the sum are those of the nearest integer
  const Vec shifted = fma(x, broadcast(1.44269504088896341f), broadcast(12582912.0f));
  const Vec n = sub(shifted, broadcast(12582912.0f));
  Vec r = fnma(n, broadcast(0.693359375f), x);
  r = fnma(n, broadcast(-2.12194440e-4f), r);
  Vec p = fma(broadcast(1.9875691500e-4f), r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, broadcast(1.0f)));
  return times_power(p, shifted);
}

// The largest lane.
LORAKEET_INLINE float largest(Vec v) {
  float lanes[kWidth], result;
  store(lanes, v);
  result = lanes[0];
  for (int i = 1; i < kWidth; i++) result = lanes[i] > result ? lanes[i] : result;
  return result;
}

}  // namespace
