// Numbers four at a time, and the two types in which Fisher and anchor may be stored.
#pragma once

#include <float.h>
#include <math.h>
#include <string.h>

#include "../cpu/bf16.h"
#include "block.h"

namespace lorakeet::cuda {

// Ranks, rows and columns are worked on four at a time; rows of matrices are padded with zeros to a multiple of it.
constexpr uint32_t kQuad = 4;

LORAKEET_BOTH uint32_t quads(uint32_t count) { return (count + kQuad - 1) / kQuad; }
LORAKEET_BOTH uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

LORAKEET_BOTH float multiply_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// On a GPU both are right to the last two bits, which is far within what a step may be off.
LORAKEET_BOTH float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

LORAKEET_BOTH float square_root(float a) {
#if defined(__CUDA_ARCH__)
  float root;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(a));
  return root;
#else
  return sqrtf(a);
#endif
}

// Tells the compiler where a pointer points that was itself read from memory; else every access would have to find out.
LORAKEET_BOTH void assume_global(const void* pointer) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(pointer));
#else
  (void)pointer;
#endif
}

LORAKEET_BOTH bool finite(float a) { return fabsf(a) <= FLT_MAX; }

struct Quad {
  float v[kQuad];

  LORAKEET_DEVICE void add(float factor, const Quad& other) {
    LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) v[c] = multiply_add(factor, other.v[c], v[c]);
  }
};

// sum + a·b
LORAKEET_DEVICE float add_product(const Quad& a, const Quad& b, float sum) {
  LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) sum = multiply_add(a.v[c], b.v[c], sum);
  return sum;
}

LORAKEET_DEVICE Quad load_quad(const float* from) {
#if defined(__CUDACC__)
  const float4 loaded = *reinterpret_cast<const float4*>(from);
  return {loaded.x, loaded.y, loaded.z, loaded.w};
#else
  Quad loaded;
  memcpy(&loaded, from, sizeof(loaded));
  return loaded;
#endif
}

LORAKEET_DEVICE void store_quad(float* to, const Quad& quad) {
#if defined(__CUDACC__)
  *reinterpret_cast<float4*>(to) = make_float4(quad.v[0], quad.v[1], quad.v[2], quad.v[3]);
#else
  memcpy(to, &quad, sizeof(quad));
#endif
}

LORAKEET_BOTH float widen(float number) { return number; }
LORAKEET_BOTH float widen(Bf16 number) { return to_float(number); }
LORAKEET_BOTH void assign(float& to, float value) { to = value; }
LORAKEET_BOTH void assign(Bf16& to, float value) { to = nearest(value); }

struct alignas(8) Bf16Quad {
  Bf16 v[kQuad];
};

LORAKEET_DEVICE Quad load_quad(const Bf16* from) {
  const Bf16Quad loaded = *reinterpret_cast<const Bf16Quad*>(from);
  return {widen(loaded.v[0]), widen(loaded.v[1]), widen(loaded.v[2]), widen(loaded.v[3])};
}

LORAKEET_DEVICE void store_quad(Bf16* to, const Quad& quad) {
  *reinterpret_cast<Bf16Quad*>(to) = {nearest(quad.v[0]), nearest(quad.v[1]), nearest(quad.v[2]), nearest(quad.v[3])};
}

// A new Fisher, numbers `index` and the three behind it of its section: in bf16 rounded stochastically.
LORAKEET_DEVICE void store_fisher(float* to, const Quad& quad, uint32_t, uint32_t) { store_quad(to, quad); }
LORAKEET_DEVICE void store_fisher(Bf16* to, const Quad& quad, uint32_t key, uint32_t index) {
  Bf16Quad rounded;
  LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) rounded.v[c] = stochastic(quad.v[c], key, index + c);
  *reinterpret_cast<Bf16Quad*>(to) = rounded;
}

}  // namespace lorakeet::cuda
