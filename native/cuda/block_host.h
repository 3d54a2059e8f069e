// The primitives of block.h on the host, for tests: phases are loops, and the blocks of a cluster are threads.
//
// It is made to show mistakes: independent calls may run in reverse, an asynchronous copy leaves NaN behind until it is
// waited for, copies are checked for alignment and size, and under ThreadSanitizer a block that reads another's shared
// memory without a barrier between is reported.
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "block.h"

namespace lorakeet::cuda {

// The blocks of one cluster meet here.
class ClusterMeeting {
 public:
  explicit ClusterMeeting(uint32_t ranks) : shared(ranks), exchange(ranks), ranks_(ranks) {}

  void barrier() {
    std::unique_lock<std::mutex> lock(mutex_);
    const uint64_t round = round_;
    if (++arrived_ == ranks_) {
      arrived_ = 0;
      round_++;
      everybody_.notify_all();
    } else {
      everybody_.wait(lock, [&] { return round_ != round; });
    }
  }

  std::vector<float*> shared;    // of every block
  std::vector<double> exchange;  // of cluster_sum()

 private:
  const uint32_t ranks_;
  uint32_t arrived_ = 0;
  uint64_t round_ = 0;
  std::mutex mutex_;
  std::condition_variable everybody_;
};

struct Block {
  float* shared;
  uint32_t threads;
  uint32_t rank, ranks;
  bool reversed;  // runs independent calls last to first
  ClusterMeeting* cluster;
  mutable std::vector<SharedCopy> pending;
  mutable uint64_t expected;

  template <class Body>
  void for_each(uint32_t count, Body body) const {
    for (uint32_t i = 0; i < count; i++) body(reversed ? count - 1 - i : i);
  }

  template <class Term>
  double sum(uint32_t count, Term term) const {
    std::vector<double> parts(threads);
    for_each(threads, [&](uint32_t thread) {
      for (uint32_t i = thread; i < count; i += threads) parts[thread] += term(i);
    });
    double total = 0;
    for (uint32_t warp = 0; warp < threads / kLanes; warp++) {
      double* lanes = &parts[warp * kLanes];
      for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
        for (uint32_t lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
      }
      total += lanes[0];
    }
    return total;
  }

  template <uint32_t kValues, class Add, class Store>
  void reduce(uint32_t tiles, Add add, Store store) const {
    for_each(tiles, [&](uint32_t tile) {
      float sums[kLanes][kValues] = {};
      for_each(kLanes, [&](uint32_t lane) { add(tile, lane, sums[lane]); });
      for (uint32_t value = 0; value < kValues; value++) {
        // The tree of block_device.h: 8, 4, 2, 1, 16 lanes apart.
        float lanes[kLanes], next[kLanes];
        for (uint32_t lane = 0; lane < kLanes; lane++) lanes[lane] = sums[lane][value];
        for (const uint32_t width : {8u, 4u, 2u, 1u, 16u}) {
          for (uint32_t lane = 0; lane < kLanes; lane++) next[lane] = lanes[lane] + lanes[lane ^ width];
          memcpy(lanes, next, sizeof(lanes));
        }
        store(tile, value, lanes[value]);
      }
    });
  }

  template <class Value, class Store>
  void largest(uint32_t tiles, Value value, Store store) const {
    for_each(tiles, [&](uint32_t tile) {
      float lanes[kLanes];
      for_each(kLanes, [&](uint32_t lane) { lanes[lane] = value(tile, lane); });
      float most = lanes[0];
      for (const float other : lanes) most = fmaxf(most, other);
      store(tile, most);
    });
  }

  double cluster_sum(double value) const {
    if (ranks == 1) return value;
    cluster->exchange[rank] = value;
    cluster->barrier();
    double total = 0;
    for (const double other : cluster->exchange) total += other;
    cluster->barrier();
    return total;
  }

  void cluster_sum(const float* from, float* to, uint32_t count) const {
    cluster->barrier();
    for_each(count, [&](uint32_t i) {
      float total = 0;
      for (const float* other : cluster->shared) total += other[from + i - shared];
      to[i] = total;
    });
    cluster->barrier();
  }

  void expect(uint64_t bytes) const { expected = bytes; }

  template <class Copy>
  void load(uint32_t count, Copy copy) const {
    for_each(count, [&](uint32_t i) {
      const SharedCopy one = copy(i);
      must(reinterpret_cast<uintptr_t>(one.to) % 16 == 0 && reinterpret_cast<uintptr_t>(one.from) % 16 == 0 &&
               one.bytes % 16 == 0 && one.bytes > 0,
           "an asynchronous copy must be aligned to 16 bytes and not empty");
      memset(one.to, 0xFF, one.bytes);
      pending.push_back(one);
    });
  }

  void wait() const {
    uint64_t arrived = 0;
    for (const SharedCopy& one : pending) {
      memcpy(one.to, one.from, one.bytes);
      arrived += one.bytes;
    }
    pending.clear();
    must(arrived == expected, "the bytes that are expected must be those that are copied: a GPU would hang");
  }

  void prefetch(const void*, uint64_t) const {}

 private:
  static void must(bool holds, const char* rule) {
    if (holds) return;
    fprintf(stderr, "host shim: %s\n", rule);
    abort();
  }
};

}  // namespace lorakeet::cuda
