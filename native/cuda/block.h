// The execution shim: what a kernel may ask of the thread block that runs it.
//
// A kernel is one function that a whole block executes: every variable in it holds the same value in all threads, and
// work is shared out only through the three primitives below. Each of them ends with a barrier, so whatever one phase
// wrote the next may read, and a forgotten barrier cannot exist. The same kernel source compiles for the GPU and, block
// by block with phases as plain loops, for the host, where logic is tested without a GPU.
//
//   for_each(count, body)                 body(i) once for every i < count; the calls must not depend on one another
//   dots(count, length, term, store)      store(c, Σ_{j < length} term(c, j)) once for every c < count; one warp per c
//   sum(count, term)                      Σ_{i < count} term(i), the same in every thread
//
// Sums run in an order fixed by `length` or `count` alone, so results are bit-identical from run to run; the host
// follows the same order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define LORAKEET_DEVICE __device__ __forceinline__
#define LORAKEET_BOTH __host__ __device__ inline
#else
#define LORAKEET_DEVICE inline
#define LORAKEET_BOTH inline
#endif

namespace lorakeet::cuda {

constexpr uint32_t kLanes = 32;
constexpr uint32_t kWarps = 4;
constexpr uint32_t kThreads = kLanes * kWarps;
// Sums take this many terms one after another before they hand the part over: long chains of float additions drift.
constexpr uint32_t kStretch = 16;

// Σ of the terms first, first + stride, … below `count`; stretches are added up in Total.
template <class Total, class Term>
LORAKEET_DEVICE Total strided_sum(uint32_t first, uint32_t stride, uint32_t count, Term term) {
  Total total = 0;
  for (uint32_t i = first; i < count;) {
    float part = 0;
    for (uint32_t s = 0; s < kStretch && i < count; s++, i += stride) part += term(i);
    total += part;
  }
  return total;
}

#if defined(__CUDACC__)

struct Block {
  float* shared;  // the kernel's own shared memory
  double* parts;  // [kWarps] shared, for sum()

  template <class Body>
  LORAKEET_DEVICE void for_each(uint32_t count, Body body) const {
    for (uint32_t i = threadIdx.x; i < count; i += kThreads) body(i);
    __syncthreads();
  }

  template <class Term, class Store>
  LORAKEET_DEVICE void dots(uint32_t count, uint32_t length, Term term, Store store) const {
    const uint32_t lane = threadIdx.x % kLanes;
    for (uint32_t c = threadIdx.x / kLanes; c < count; c += kWarps) {
      float part = strided_sum<float>(lane, kLanes, length, [&](uint32_t j) { return term(c, j); });
      for (uint32_t width = kLanes / 2; width > 0; width /= 2) part += __shfl_xor_sync(0xffffffffu, part, width);
      if (lane == 0) store(c, part);
    }
    __syncthreads();
  }

  template <class Term>
  LORAKEET_DEVICE double sum(uint32_t count, Term term) const {
    double part = strided_sum<double>(threadIdx.x, kThreads, count, term);
    for (uint32_t width = kLanes / 2; width > 0; width /= 2) part += __shfl_xor_sync(0xffffffffu, part, width);
    if (threadIdx.x % kLanes == 0) parts[threadIdx.x / kLanes] = part;
    __syncthreads();
    double total = 0;
    for (uint32_t warp = 0; warp < kWarps; warp++) total += parts[warp];
    __syncthreads();
    return total;
  }
};

#else

// lanes[0] ← Σ lanes, in the order of the GPU's butterfly.
template <class Number>
inline Number butterfly(Number* lanes) {
  for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
    for (uint32_t lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

struct Block {
  float* shared;
  // Runs independent calls last to first. Results must not change: that shows calls of one phase which are not
  // independent.
  bool reversed;

  template <class Body>
  void for_each(uint32_t count, Body body) const {
    for (uint32_t i = 0; i < count; i++) body(reversed ? count - 1 - i : i);
  }

  template <class Term, class Store>
  void dots(uint32_t count, uint32_t length, Term term, Store store) const {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t c = reversed ? count - 1 - i : i;
      float lanes[kLanes];
      for (uint32_t lane = 0; lane < kLanes; lane++) {
        lanes[lane] = strided_sum<float>(lane, kLanes, length, [&](uint32_t j) { return term(c, j); });
      }
      store(c, butterfly(lanes));
    }
  }

  template <class Term>
  double sum(uint32_t count, Term term) const {
    double total = 0;
    for (uint32_t warp = 0; warp < kWarps; warp++) {
      double lanes[kLanes];
      for (uint32_t lane = 0; lane < kLanes; lane++)
        lanes[lane] = strided_sum<double>(warp * kLanes + lane, kThreads, count, term);
      total += butterfly(lanes);
    }
    return total;
  }
};

#endif

}  // namespace lorakeet::cuda
