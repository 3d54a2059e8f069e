// Vec: the widest float vector of the instruction set this file is compiled for, and the few operations the kernels
// need.
//
// Chosen by the compiler's own macros, so one kernel source serves every instruction set. Everything is in an anonymous
// namespace: a unit built for AVX-512 must not leave code behind that the linker could pick for a processor without it.
#pragma once

#include <math.h>
#include <stdint.h>

#include "bf16.h"

#if defined(LORAKEET_VEC_SCALAR)
// asked for: one float at a time
#elif defined(__AVX512F__)
#define LORAKEET_VEC_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define LORAKEET_VEC_AVX2 1
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define LORAKEET_VEC_NEON 1
#elif defined(__SSE2__) || defined(_M_X64)
#define LORAKEET_VEC_SSE2 1
#endif

#if defined(LORAKEET_VEC_AVX512) || defined(LORAKEET_VEC_AVX2) || defined(LORAKEET_VEC_SSE2)
#include <immintrin.h>
#elif defined(LORAKEET_VEC_NEON)
#include <arm_neon.h>
#endif

#if defined(_MSC_VER)
#define LORAKEET_INLINE static __forceinline
#define LORAKEET_MEMBER __forceinline
#define LORAKEET_NOINLINE static __declspec(noinline)
#else
#define LORAKEET_INLINE static inline __attribute__((always_inline))
#define LORAKEET_MEMBER inline __attribute__((always_inline))
#define LORAKEET_NOINLINE static __attribute__((noinline))
#endif

namespace {

#if defined(LORAKEET_VEC_AVX512)

using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kRegisters = 32;
LORAKEET_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
LORAKEET_INLINE Vec load(const lorakeet::Bf16* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
LORAKEET_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
LORAKEET_INLINE Vec broadcast(float f) { return _mm512_set1_ps(f); }
LORAKEET_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
LORAKEET_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
LORAKEET_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
LORAKEET_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
LORAKEET_INLINE Vec larger(Vec a, Vec b) { return _mm512_max_ps(a, b); }
LORAKEET_INLINE Vec root(Vec a) { return _mm512_sqrt_ps(a); }
// a·b + c
LORAKEET_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// c − a·b
LORAKEET_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
// In each quarter of the result, four lanes: that quarter's part of the sums of the lanes of a, b, c and d.
LORAKEET_INLINE Vec quarter_sums(Vec a, Vec b, Vec c, Vec d) {
  const Vec ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const Vec cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  return add(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
}
// out[0..3] = scale · the sums of the lanes of a, b, c and d
LORAKEET_INLINE void store_sums(float* out, float scale, Vec a, Vec b, Vec c, Vec d) {
  const Vec quarters = quarter_sums(a, b, c, d);
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  _mm_storeu_ps(out, _mm_mul_ps(_mm_set1_ps(scale), sums));
}
// The same for four times four at once, with fewer steps and the same order of additions.
LORAKEET_INLINE void store_sums(float* const (&out)[4], float scale, const Vec (&v)[4][4]) {
  Vec q[4];
  for (int i = 0; i < 4; i++) q[i] = quarter_sums(v[i][0], v[i][1], v[i][2], v[i][3]);
  const auto halves = [](Vec p, Vec r) {  // the halves of p, then those of r
    return add(_mm512_shuffle_f32x4(p, r, 0x44), _mm512_shuffle_f32x4(p, r, 0xee));
  };
  const Vec low = halves(q[0], q[1]), high = halves(q[2], q[3]);
  const Vec sums =
      mul(broadcast(scale), add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd)));
  _mm_storeu_ps(out[0], _mm512_castps512_ps128(sums));
  _mm_storeu_ps(out[1], _mm512_extractf32x4_ps(sums, 1));
  _mm_storeu_ps(out[2], _mm512_extractf32x4_ps(sums, 2));
  _mm_storeu_ps(out[3], _mm512_extractf32x4_ps(sums, 3));
}

#elif defined(LORAKEET_VEC_AVX2)

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kRegisters = 16;
LORAKEET_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
LORAKEET_INLINE Vec load(const lorakeet::Bf16* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
LORAKEET_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
LORAKEET_INLINE Vec broadcast(float f) { return _mm256_set1_ps(f); }
LORAKEET_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
LORAKEET_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
LORAKEET_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
LORAKEET_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
LORAKEET_INLINE Vec larger(Vec a, Vec b) { return _mm256_max_ps(a, b); }
LORAKEET_INLINE Vec root(Vec a) { return _mm256_sqrt_ps(a); }
LORAKEET_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
LORAKEET_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
LORAKEET_INLINE void store_sums(float* out, float scale, Vec a, Vec b, Vec c, Vec d) {
  const Vec quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
  _mm_storeu_ps(out, _mm_mul_ps(_mm_set1_ps(scale), sums));
}

#elif defined(LORAKEET_VEC_NEON)

using Vec = float32x4_t;
constexpr int kWidth = 4;
constexpr int kRegisters = 32;
LORAKEET_INLINE Vec load(const float* p) { return vld1q_f32(p); }
LORAKEET_INLINE Vec load(const lorakeet::Bf16* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p)), 16));
}
LORAKEET_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
LORAKEET_INLINE Vec broadcast(float f) { return vdupq_n_f32(f); }
LORAKEET_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
LORAKEET_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
LORAKEET_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
LORAKEET_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
LORAKEET_INLINE Vec larger(Vec a, Vec b) { return vmaxq_f32(a, b); }
LORAKEET_INLINE Vec root(Vec a) { return vsqrtq_f32(a); }
LORAKEET_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
LORAKEET_INLINE Vec fnma(Vec a, Vec b, Vec c) { return vfmsq_f32(c, a, b); }
LORAKEET_INLINE void store_sums(float* out, float scale, Vec a, Vec b, Vec c, Vec d) {
  vst1q_f32(out, vmulq_n_f32(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)), scale));
}

#elif defined(LORAKEET_VEC_SSE2)

using Vec = __m128;
constexpr int kWidth = 4;
constexpr int kRegisters = 16;
LORAKEET_INLINE Vec load(const float* p) { return _mm_loadu_ps(p); }
LORAKEET_INLINE Vec load(const lorakeet::Bf16* p) {
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
}
LORAKEET_INLINE void store(float* p, Vec v) { _mm_storeu_ps(p, v); }
LORAKEET_INLINE Vec broadcast(float f) { return _mm_set1_ps(f); }
LORAKEET_INLINE Vec add(Vec a, Vec b) { return _mm_add_ps(a, b); }
LORAKEET_INLINE Vec sub(Vec a, Vec b) { return _mm_sub_ps(a, b); }
LORAKEET_INLINE Vec mul(Vec a, Vec b) { return _mm_mul_ps(a, b); }
LORAKEET_INLINE Vec div(Vec a, Vec b) { return _mm_div_ps(a, b); }
LORAKEET_INLINE Vec larger(Vec a, Vec b) { return _mm_max_ps(a, b); }
LORAKEET_INLINE Vec root(Vec a) { return _mm_sqrt_ps(a); }
LORAKEET_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
LORAKEET_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }
LORAKEET_INLINE void store_sums(float* out, float scale, Vec a, Vec b, Vec c, Vec d) {
  const Vec ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
  const Vec cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
  _mm_storeu_ps(out, _mm_mul_ps(_mm_set1_ps(scale), _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab))));
}

#else  // any other processor: one float at a time

struct Vec {
  float v;
};
constexpr int kWidth = 1;
constexpr int kRegisters = 16;
LORAKEET_INLINE Vec load(const float* p) { return {*p}; }
LORAKEET_INLINE Vec load(const lorakeet::Bf16* p) { return {lorakeet::to_float(*p)}; }
LORAKEET_INLINE void store(float* p, Vec a) { *p = a.v; }
LORAKEET_INLINE Vec broadcast(float f) { return {f}; }
LORAKEET_INLINE Vec add(Vec a, Vec b) { return {a.v + b.v}; }
LORAKEET_INLINE Vec sub(Vec a, Vec b) { return {a.v - b.v}; }
LORAKEET_INLINE Vec mul(Vec a, Vec b) { return {a.v * b.v}; }
LORAKEET_INLINE Vec div(Vec a, Vec b) { return {a.v / b.v}; }
LORAKEET_INLINE Vec larger(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
LORAKEET_INLINE Vec root(Vec a) { return {sqrtf(a.v)}; }
LORAKEET_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
LORAKEET_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {c.v - a.v * b.v}; }
LORAKEET_INLINE void store_sums(float* out, float scale, Vec a, Vec b, Vec c, Vec d) {
  out[0] = scale * a.v, out[1] = scale * b.v, out[2] = scale * c.v, out[3] = scale * d.v;
}

#endif

// Asks for the cache line of p, to be read and written soon; p need not be valid.
#if defined(LORAKEET_VEC_AVX512) || defined(LORAKEET_VEC_AVX2) || defined(LORAKEET_VEC_SSE2)
LORAKEET_INLINE void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
#elif defined(__GNUC__)
LORAKEET_INLINE void prefetch(const char* p) { __builtin_prefetch(p, 1, 2); }
#else
LORAKEET_INLINE void prefetch(const char*) {}
#endif

LORAKEET_INLINE Vec zero() { return broadcast(0.0f); }

template <int N>
LORAKEET_INLINE void store_sums(float* const (&out)[N], float scale, const Vec (&v)[N][4]) {
  for (int i = 0; i < N; i++) store_sums(out[i], scale, v[i][0], v[i][1], v[i][2], v[i][3]);
}

// The sum of the lanes, added in the same order as store_sums adds them.
LORAKEET_INLINE float sum(Vec a) {
  float out[4];
  store_sums(out, 1.0f, a, zero(), zero(), zero());
  return out[0];
}

}  // namespace
