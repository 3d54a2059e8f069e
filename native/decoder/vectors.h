// What the products need beside ../cpu/vec.h: vectors of what weights are stored as, and transposition. In an anonymous
// namespace like everything there.
#pragma once

#include <string.h>

#include "../cpu/vec.h"

#if defined(__GNUC__)
#define LORAKEET_UNROLL _Pragma("GCC unroll 64")
#else
#define LORAKEET_UNROLL
#endif

namespace {

using lorakeet::Bf16;

struct Half {
  uint16_t bits;
};

// An f16's bits without its sign, where those of a float's exponent and fraction are, become the number that they stand
// for when 2^112 makes up for the difference of the biases; what is infinite or no number is to stay so.
constexpr uint32_t kHalfInfinity = 0x7c00u << 13;

#if defined(LORAKEET_VEC_AVX512)

LORAKEET_INLINE Vec load(const Half* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
LORAKEET_INLINE Vec load(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

#elif defined(LORAKEET_VEC_AVX2)

LORAKEET_INLINE Vec load(const Half* p) {
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fff)), 13);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x8000)), 16);
  const __m256i no_number = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(kHalfInfinity - 1));
  const __m256i infinity = _mm256_and_si256(no_number, _mm256_set1_epi32(0x7f800000));
  const Vec value = _mm256_mul_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0x1p112f));
  return _mm256_or_ps(value, _mm256_castsi256_ps(_mm256_or_si256(sign, infinity)));
}
LORAKEET_INLINE Vec load(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

#elif defined(LORAKEET_VEC_NEON)

LORAKEET_INLINE Vec load(const Half* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))));
}
LORAKEET_INLINE Vec load(const int8_t* p) {
  uint32_t four;
  memcpy(&four, p, sizeof(four));
  const int16x8_t wide = vmovl_s8(vcreate_s8(four));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

#elif defined(LORAKEET_VEC_SSE2)

LORAKEET_INLINE Vec load(const Half* p) {
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i bits = _mm_unpacklo_epi16(halves, _mm_setzero_si128());
  const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(bits, _mm_set1_epi32(0x7fff)), 13);
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(bits, _mm_set1_epi32(0x8000)), 16);
  const __m128i no_number = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(kHalfInfinity - 1));
  const __m128i infinity = _mm_and_si128(no_number, _mm_set1_epi32(0x7f800000));
  const Vec value = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0x1p112f));
  return _mm_or_ps(value, _mm_castsi128_ps(_mm_or_si128(sign, infinity)));
}
LORAKEET_INLINE Vec load(const int8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  const __m128i bytes = _mm_cvtsi32_si128(four);
  const __m128i words = _mm_unpacklo_epi8(bytes, bytes);
  return _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(words, words), 24));
}

#else

LORAKEET_INLINE Vec load(const Half* p) {
  uint32_t bits = (p->bits & 0x7fffu) << 13;
  const bool no_number = bits >= kHalfInfinity;
  float value;
  memcpy(&value, &bits, sizeof(value));
  value *= 0x1p112f;
  memcpy(&bits, &value, sizeof(bits));
  bits |= (p->bits & 0x8000u) << 16 | (no_number ? 0x7f800000u : 0);
  memcpy(&value, &bits, sizeof(value));
  return {value};
}
LORAKEET_INLINE Vec load(const int8_t* p) { return {static_cast<float>(*p)}; }

#endif

// v[i], lane j ↔ v[j], lane i
#if defined(LORAKEET_VEC_AVX512) || defined(LORAKEET_VEC_AVX2) || defined(LORAKEET_VEC_SSE2)

#if defined(LORAKEET_VEC_AVX512)
#define LORAKEET_OF(name) _mm512_##name
#elif defined(LORAKEET_VEC_AVX2)
#define LORAKEET_OF(name) _mm256_##name
#else
#define LORAKEET_OF(name) _mm_##name
#endif

LORAKEET_INLINE void transpose(Vec (&v)[kWidth]) {
  Vec u[kWidth];
  // four rows at a time: then u[g + j] holds, in quarter q, column 4q + j of rows g to g + 3
  LORAKEET_UNROLL for (int g = 0; g < kWidth; g += 4) {
    const auto low01 = LORAKEET_OF(castps_pd)(LORAKEET_OF(unpacklo_ps)(v[g], v[g + 1]));
    const auto high01 = LORAKEET_OF(castps_pd)(LORAKEET_OF(unpackhi_ps)(v[g], v[g + 1]));
    const auto low23 = LORAKEET_OF(castps_pd)(LORAKEET_OF(unpacklo_ps)(v[g + 2], v[g + 3]));
    const auto high23 = LORAKEET_OF(castps_pd)(LORAKEET_OF(unpackhi_ps)(v[g + 2], v[g + 3]));
    u[g] = LORAKEET_OF(castpd_ps)(LORAKEET_OF(unpacklo_pd)(low01, low23));
    u[g + 1] = LORAKEET_OF(castpd_ps)(LORAKEET_OF(unpackhi_pd)(low01, low23));
    u[g + 2] = LORAKEET_OF(castpd_ps)(LORAKEET_OF(unpacklo_pd)(high01, high23));
    u[g + 3] = LORAKEET_OF(castpd_ps)(LORAKEET_OF(unpackhi_pd)(high01, high23));
  }
#if defined(LORAKEET_VEC_AVX512)
  LORAKEET_UNROLL for (int j = 0; j < 4; j++) {
    const Vec low = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x44), high = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xee);
    const Vec low2 = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x44);
    const Vec high2 = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xee);
    v[j] = _mm512_shuffle_f32x4(low, low2, 0x88);
    v[4 + j] = _mm512_shuffle_f32x4(low, low2, 0xdd);
    v[8 + j] = _mm512_shuffle_f32x4(high, high2, 0x88);
    v[12 + j] = _mm512_shuffle_f32x4(high, high2, 0xdd);
  }
#elif defined(LORAKEET_VEC_AVX2)
  LORAKEET_UNROLL for (int j = 0; j < 4; j++) {
    v[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
    v[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
  }
#else
  LORAKEET_UNROLL for (int j = 0; j < 4; j++) v[j] = u[j];
#endif
}
#undef LORAKEET_OF

#elif defined(LORAKEET_VEC_NEON)

LORAKEET_INLINE void transpose(Vec (&v)[kWidth]) {
  const auto low01 = vreinterpretq_f64_f32(vzip1q_f32(v[0], v[1]));
  const auto high01 = vreinterpretq_f64_f32(vzip2q_f32(v[0], v[1]));
  const auto low23 = vreinterpretq_f64_f32(vzip1q_f32(v[2], v[3]));
  const auto high23 = vreinterpretq_f64_f32(vzip2q_f32(v[2], v[3]));
  v[0] = vreinterpretq_f32_f64(vzip1q_f64(low01, low23));
  v[1] = vreinterpretq_f32_f64(vzip2q_f64(low01, low23));
  v[2] = vreinterpretq_f32_f64(vzip1q_f64(high01, high23));
  v[3] = vreinterpretq_f32_f64(vzip2q_f64(high01, high23));
}

#else

LORAKEET_INLINE void transpose(Vec (&)[kWidth]) {}

#endif

// Asks for the cache line of p, to be read soon; p need not be valid.
#if defined(LORAKEET_VEC_AVX512) || defined(LORAKEET_VEC_AVX2) || defined(LORAKEET_VEC_SSE2)
LORAKEET_INLINE void fetch(const char* p) { _mm_prefetch(p, _MM_HINT_T0); }
#elif defined(__GNUC__)
LORAKEET_INLINE void fetch(const char* p) { __builtin_prefetch(p); }
#else
LORAKEET_INLINE void fetch(const char*) {}
#endif

// The first `count` numbers, then zeros.
template <typename T>
LORAKEET_INLINE Vec load_part(const T* p, size_t count) {
  T numbers[kWidth] = {};
  memcpy(numbers, p, count * sizeof(T));
  return load(numbers);
}

template <typename T>
LORAKEET_INLINE Vec load_some(const T* p, size_t count) {
  if (count == 0) return zero();
  return count < kWidth ? load_part(p, count) : load(p);
}

LORAKEET_INLINE void store_some(float* p, size_t count, Vec v) {
  if (count >= kWidth) return store(p, v);
  float numbers[kWidth];
  store(numbers, v);
  memcpy(p, numbers, count * sizeof(float));
}

LORAKEET_INLINE size_t less(size_t a, size_t b) { return a < b ? a : b; }
LORAKEET_INLINE size_t beyond(size_t a, size_t b) { return a > b ? a - b : 0; }

}  // namespace
