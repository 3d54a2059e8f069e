// The two arithmetics of block products: what a step of a sum is, and how numbers become steps.
//
//   join(parts)   consecutive numbers of one sum, kWidth · kDepth of them, as kWidth steps
//   stack(parts)  vector k holds number k of kWidth sums, for kDepth of them: one step of each
#pragma once

#include "vectors.h"

namespace {

struct FloatSteps {
  static constexpr size_t kDepth = 1;
  LORAKEET_INLINE Vec join(const Vec (&parts)[1]) { return parts[0]; }
  LORAKEET_INLINE Vec stack(const Vec (&parts)[1]) { return parts[0]; }
  LORAKEET_INLINE Vec multiply_add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
};

#if defined(__AVX512BF16__)

// Two bf16 numbers a step, the first one in the lower half.
struct Bf16Steps {
  static constexpr size_t kDepth = 2;
  LORAKEET_INLINE Vec join(const Vec (&parts)[2]) {
    return reinterpret_cast<Vec>(_mm512_cvtne2ps_pbh(parts[1], parts[0]));
  }
  LORAKEET_INLINE Vec stack(const Vec (&parts)[2]) {
    const auto widened = [](Vec v) { return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v))); };
    return _mm512_castsi512_ps(_mm512_or_si512(widened(parts[0]), _mm512_slli_epi32(widened(parts[1]), 16)));
  }
  LORAKEET_INLINE Vec multiply_add(Vec a, Vec b, Vec sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

#endif

}  // namespace
