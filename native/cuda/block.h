// Execution: what a kernel may ask of the thread block, and of the cluster of blocks, that runs it.
//
// A kernel is one function that a whole block executes: every variable in it holds the same value in all threads, and
// work is shared out only through the primitives below. Each of them ends with a barrier, so whatever one phase wrote
// the next may read, and a forgotten barrier cannot exist. The same source compiles for the GPU (block_device.h) and
// for the host (block_host.h), where phases are plain loops and the blocks of a cluster are threads with a real
// barrier.
//
//   for_each(count, body)                 body(i) once for every i < count; the calls must not depend on one another
//   sum(count, term)                      Σ_{i < count} term(i), the same in every thread
//   reduce<V>(tiles, add, store)          one warp per tile: each lane's add(tile, lane, sums) adds to its sums[V], and
//                                         store(tile, v, Σ over the lanes of sums[v]) is called once for every v
//   largest(tiles, value, store)          one warp per tile: store(tile, the largest of value(tile, lane) over the
//   lanes) cluster_sum(value)                    the sum of `value` over the blocks of the cluster, in the order of
//   their ranks cluster_sum(from, to, count)          the same for arrays in shared memory: to[i] = Σ_blocks from[i]
//   expect(bytes) load(count, copy) wait  asynchronous copies to shared memory: copy(i) says which, `bytes` how much in
//                                         all; nothing of it may be read before wait()
//   prefetch(from, bytes)                 a hint to bring memory closer
//
// Sums run in an order that depends on counts, threads and blocks only, never on values or timing: results are
// bit-identical from run to run. The host follows the same order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define LORAKEET_DEVICE __device__ __forceinline__
#define LORAKEET_BOTH __host__ __device__ inline
#define LORAKEET_UNROLL _Pragma("unroll")
#define LORAKEET_NO_UNROLL _Pragma("unroll 1")
#else
#define LORAKEET_DEVICE inline
#define LORAKEET_BOTH inline
#define LORAKEET_UNROLL
#define LORAKEET_NO_UNROLL
#endif

namespace lorakeet::cuda {

constexpr uint32_t kLanes = 32;
constexpr uint32_t kMostThreads = 256;
constexpr uint32_t kMostRanks = 8;  // blocks in a cluster, as many as every GPU with clusters runs

// A copy of consecutive numbers to shared memory; both ends and the size are multiples of 16 bytes.
struct SharedCopy {
  float* to;
  const float* from;
  uint32_t bytes;
};

}  // namespace lorakeet::cuda

#if defined(__CUDACC__)
#include "block_device.h"
#else
#include "block_host.h"
#endif
