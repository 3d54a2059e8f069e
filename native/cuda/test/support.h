// What the driver's checks share: opening a module, owning a pool, random numbers, and counting what failed.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "lorakeet/cuda.h"

using Floats = std::vector<float>;
using Ids = std::vector<uint32_t>;

// SplitMix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(next() % bound); }
  double uniform(double low, double high) { return low + (high - low) * (next() >> 11) * 0x1p-53; }
  Floats uniforms(size_t count, double low, double high) {
    Floats values(count);
    for (float& value : values) value = static_cast<float>(uniform(low, high));
    return values;
  }
  // `count` different numbers below `bound`, in no order.
  Ids distinct(uint32_t count, uint32_t bound);

 private:
  uint64_t state_;
};

class Checks {
 public:
  // Counts a check; a failed one is printed, with `what` made as by printf.
  void expect(bool holds, const char* what, ...) __attribute__((format(printf, 3, 4)));
  // |got − want| ≤ limit for every element.
  void near(const std::string& what, const float* got, const double* want, size_t count, double limit);
  void equal(const std::string& what, const Floats& got, const Floats& want);

  int count() const { return count_; }
  int failures() const { return failures_; }
  // The largest share of its limit that any near() used up.
  double worst_share() const { return worst_share_; }
  const std::string& worst() const { return worst_; }

 private:
  int count_ = 0, failures_ = 0;
  double worst_share_ = 0;
  std::string worst_;
};

// Of the module under test: why the last operation failed.
extern lorakeet_cuda_failure_function cuda_failure;

// The largest magnitude: the scale that errors are measured against.
double largest(const double* values, size_t count);

struct Report {
  explicit Report(uint32_t users) : loss(users), grad_norm(users), flags(users) {}
  lorakeet_update_report view() { return {loss.data(), grad_norm.data(), flags.data()}; }

  Floats loss, grad_norm;
  std::vector<uint8_t> flags;
};

// Numbers in one section of a slab, and in all of it.
uint32_t parameter_count(const lorakeet_pool_config& config);
uint64_t slab_length(const lorakeet_pool_config& config);

// SGD without EWC, learning rate 0.1, no clipping.
lorakeet_pool_config plain_config(uint32_t rank, uint32_t in, uint32_t out, bool residual, uint32_t capacity);

// A pool that ends the program when an operation fails that should not; `table` is there for those that should.
class Pool {
 public:
  Pool(const lorakeet_kernels& kernels, const lorakeet_pool_config& pool_config);
  ~Pool() { table.destroy_pool(handle); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void write(const Ids& slots, const Floats& slabs, const Ids& steps);
  Floats read(const Ids& slots, Ids* steps = nullptr);
  void bind_items(const Floats& matrix);
  Floats apply(const Ids& slots, lorakeet_rows x);
  Report update(const lorakeet_update_batch& batch);
  void must(lorakeet_status status, const char* operation) const;

  const lorakeet_kernels& table;
  const lorakeet_pool_config config;
  lorakeet_pool* handle = nullptr;
};
