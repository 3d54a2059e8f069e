// The primitives of block.h on a GPU.
#pragma once

#include <cooperative_groups.h>
#include <cuda_pipeline.h>

#include "block.h"

namespace lorakeet::cuda {

// What a kernel declares in shared memory for its block, beside the kernel's own.
struct BlockState {
  double parts[kMostThreads / kLanes];  // of sum()
  double exchange;                      // of cluster_sum()
  uint64_t arrival;                     // the barrier that asynchronous copies report to (sm_90)
};

struct Block {
  float* shared;  // the kernel's own shared memory
  BlockState* state;
  uint32_t thread, threads;  // this thread, of how many that work together: a warp or the whole block
  uint32_t rank, ranks;      // this block, of how many in the cluster
  mutable uint32_t phase;    // of `arrival`

  // To be called once, by the whole block, before any copy.
  LORAKEET_DEVICE void start() const {
#if __CUDA_ARCH__ >= 900
    if (thread == 0) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(&state->arrival)) : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    cluster_barrier();
#endif
  }

  template <class Body>
  LORAKEET_DEVICE void for_each(uint32_t count, Body body) const {
    for (uint32_t i = thread; i < count; i += threads) body(i);
    barrier();
  }

  template <class Term>
  LORAKEET_DEVICE double sum(uint32_t count, Term term) const {
    double part = 0;
    for (uint32_t i = thread; i < count; i += threads) part += term(i);
    LORAKEET_UNROLL for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
      part += __shfl_xor_sync(~0u, part, width);
    }
    if (threads == kLanes) {
      barrier();
      return part;
    }
    if (thread % kLanes == 0) state->parts[thread / kLanes] = part;
    barrier();
    double total = 0;
    for (uint32_t warp = 0; warp < threads / kLanes; warp++) total += state->parts[warp];
    barrier();
    return total;
  }

  template <uint32_t kValues, class Add, class Store>
  LORAKEET_DEVICE void reduce(uint32_t tiles, Add add, Store store) const {
    const uint32_t lane = thread % kLanes;
    for (uint32_t tile = thread / kLanes; tile < tiles; tile += threads / kLanes) {
      float sums[kValues] = {};
      add(tile, lane, sums);
      const float total = add_lanes(sums, lane);
      if (lane < kValues) store(tile, lane, total);
    }
    barrier();
  }

  template <class Value, class Store>
  LORAKEET_DEVICE void largest(uint32_t tiles, Value value, Store store) const {
    const uint32_t lane = thread % kLanes;
    for (uint32_t tile = thread / kLanes; tile < tiles; tile += threads / kLanes) {
      float most = value(tile, lane);
      LORAKEET_UNROLL for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
        most = fmaxf(most, __shfl_xor_sync(~0u, most, width));
      }
      if (lane == 0) store(tile, most);
    }
    barrier();
  }

  LORAKEET_DEVICE double cluster_sum(double value) const {
    if (ranks == 1) return value;
    if (thread == 0) state->exchange = value;
    cluster_barrier();
    double total = 0;
    for (uint32_t other = 0; other < ranks; other++) total += *remote(&state->exchange, other);
    cluster_barrier();
    return total;
  }

  LORAKEET_DEVICE void cluster_sum(const float* from, float* to, uint32_t count) const {
    cluster_barrier();
    for (uint32_t i = thread; i < count; i += threads) {
      float total = 0;
      for (uint32_t other = 0; other < ranks; other++) total += *remote(from + i, other);
      to[i] = total;
    }
    cluster_barrier();
  }

  // Copies go through the asynchronous proxy: what threads wrote before must be made visible to it first.
  LORAKEET_DEVICE void expect(uint32_t bytes) const {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    barrier();
    if (thread == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(&state->arrival)),
                   "r"(bytes)
                   : "memory");
    }
    __syncwarp();
#endif
  }

  template <class Copy>
  LORAKEET_DEVICE void load(uint32_t count, Copy copy) const {
#if __CUDA_ARCH__ >= 900
    if (thread >= kLanes) return;
    for (uint32_t i = thread; i < count; i += kLanes) {
      const SharedCopy one = copy(i);
      asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                       shared_address(one.to)),
                   "l"(__cvta_generic_to_global(one.from)), "r"(one.bytes), "r"(shared_address(&state->arrival))
                   : "memory");
    }
#else
    for (uint32_t i = thread / kLanes; i < count; i += threads / kLanes) {
      const SharedCopy one = copy(i);
      for (uint32_t at = thread % kLanes; at < one.bytes / 16; at += kLanes) {
        __pipeline_memcpy_async(one.to + 4 * at, one.from + 4 * at, 16);
      }
    }
#endif
  }

  LORAKEET_DEVICE void wait() const {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{\n"
        ".reg .pred arrived;\n"
        "again: mbarrier.try_wait.parity.shared.b64 arrived, [%0], %1;\n"
        "@!arrived bra again;\n"
        "}" ::"r"(shared_address(&state->arrival)),
        "r"(phase)
        : "memory");
    phase ^= 1;
#else
    __pipeline_commit();
    __pipeline_wait_prior(0);
    barrier();
#endif
  }

  LORAKEET_DEVICE void prefetch(const void* from, uint64_t bytes) const {
    const char* memory = static_cast<const char*>(from);
    for (uint64_t at = thread * 128ull; at < bytes; at += threads * 128ull) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(memory + at)));
    }
  }

 private:
  LORAKEET_DEVICE void barrier() const {
    if (threads == kLanes) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  LORAKEET_DEVICE static void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#endif
  }

  // The same place in the shared memory of another block of the cluster.
  template <class T>
  LORAKEET_DEVICE static const T* remote(const T* own, uint32_t other) {
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().map_shared_rank(own, other);
#else
    return own;
#endif
  }

  LORAKEET_DEVICE static uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
  }

  // Lane l gets Σ over the lanes of sums[l % kValues]. While several values are left, lanes exchange the half that they
  // do not keep, so that 16 values take 16 exchanges instead of 80. The tree of additions is the same for every value
  // and whatever kValues is.
  template <uint32_t kValues, uint32_t kWidth = kLanes / 4>
  LORAKEET_DEVICE static float add_lanes(float (&sums)[kValues], uint32_t lane) {
    if constexpr (kWidth == 0) {
      return sums[0] + __shfl_xor_sync(~0u, sums[0], kLanes / 2);
    } else {
      if constexpr (kWidth < kValues) {
        const bool upper = lane & kWidth;
        LORAKEET_UNROLL for (uint32_t i = 0; i < kWidth; i++) {
          const float sent = upper ? sums[i] : sums[i + kWidth], kept = upper ? sums[i + kWidth] : sums[i];
          sums[i] = kept + __shfl_xor_sync(~0u, sent, kWidth);
        }
      } else {
        LORAKEET_UNROLL for (uint32_t i = 0; i < kValues; i++) sums[i] += __shfl_xor_sync(~0u, sums[i], kWidth);
      }
      return add_lanes<kValues, kWidth / 2>(sums, lane);
    }
  }
};

}  // namespace lorakeet::cuda
