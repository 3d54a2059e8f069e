// What the benchmark's ceilings are measured with: the least that kernels must do, with nothing else around it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace lorakeet {

// The streams of one instruction set. Arrays are 64-byte aligned, `floats` is a multiple of 128.
struct Streams {
  const char* name;
  int64_t flops_per_round;
  // multiply-adds on registers alone
  float (*multiply_add)(int64_t rounds);
  // 1 read: the adapter of an apply
  float (*read)(const float* in, size_t floats);
  // 1 read, 1 write: rows that pass through an apply
  void (*copy)(float* out, const float* in, size_t floats);
  // 3 reads, 2 writes: the state of an update (weights and Fisher rewritten, anchor read)
  void (*update)(float* weights, float* fisher, const float* anchor, size_t floats);
};

const Streams* baseline_streams();
const Streams* avx2_streams();
const Streams* avx512_streams();
const Streams* neon_streams();

}  // namespace lorakeet
