// A pool of one of our kernels with everything a call needs, filled as bench/src/population.ts configures it.
#pragma once

#include <math.h>
#include <string.h>

#include <new>
#include <stdexcept>
#include <vector>

#include "lorakeet/cpu.h"

namespace lorakeet {

// Starts on a cache line, as rows of alignedRows do, and as the rows that the pool copies feedback to.
template <typename T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <typename U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, size_t) { ::operator delete(p, kLine); }
  bool operator==(const LineAllocator&) const { return true; }
  bool operator!=(const LineAllocator&) const { return false; }
  static constexpr std::align_val_t kLine{64};
};

using Floats = std::vector<float, LineAllocator<float>>;

// Uniform in [-1, 1), from a linear congruential generator.
struct Random {
  uint32_t state = 1;
  float next() {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<int32_t>(state)) / 2147483648.0f;
  }
  Floats floats(size_t count, float scale) {
    Floats values(count);
    for (float& value : values) value = scale * next();
    return values;
  }
};

// Slabs of `users`: weights and anchor small, Fisher and second moments positive.
inline Floats random_slab(uint32_t dim, uint32_t rank, bool adamw, Random& random) {
  const size_t section = 2u * rank * static_cast<size_t>(dim);
  Floats slab = random.floats((adamw ? 5 : 3) * section, 1 / sqrtf(static_cast<float>(dim)));
  const auto positive = [&](size_t which) {
    for (size_t i = which * section; i < (which + 1) * section; i++) slab[i] = fabsf(slab[i]);
  };
  positive(1);
  if (adamw) positive(4);
  return slab;
}

inline const lorakeet_kernels* kernels_named(const char* isa) {
  for (uint32_t i = 0; lorakeet_cpu_kernels(i); i++) {
    if (strcmp(lorakeet_cpu_kernels(i)->device, isa) == 0) return lorakeet_cpu_kernels(i);
  }
  return nullptr;
}

// Rows are the caller's and stay where they are.
class OwnKernel {
 public:
  OwnKernel(const lorakeet_kernels& kernels, uint32_t dim, uint32_t rank, uint32_t users, uint32_t rows_per_user,
            bool adamw, const float* slab, const float* x, const float* target, float* y)
      : kernels_(kernels), slots_(users), offsets_(users + 1), y_(y), loss_(users), grad_norm_(users), flags_(users) {
    lorakeet_pool_config config{};
    config.rank = rank;
    config.in_features = config.out_features = dim;
    config.capacity = users;
    config.threads = 1;
    config.residual = 1;
    config.optimizer = adamw ? LORAKEET_ADAMW : LORAKEET_SGD;
    config.ewc = LORAKEET_EWC_PROXIMAL;
    config.scaling = 1.0 / rank;
    config.learning_rate = 1e-3;
    config.max_grad_norm = 1;
    config.ewc_lambda = 0.5;
    config.beta1 = 0.9, config.beta2 = 0.999, config.epsilon = 1e-8;
    require(kernels.create_pool(&config, &pool_));
    for (uint32_t user = 0; user < users; user++) {
      const uint32_t steps = 9;
      slots_[user] = user;
      offsets_[user + 1] = (user + 1) * rows_per_user;
      row_slots_.insert(row_slots_.end(), rows_per_user, user);
      require(kernels.write(pool_, &user, 1, slab, &steps));
    }
    apply_ = {static_cast<uint32_t>(row_slots_.size()), row_slots_.data(), {x, nullptr}};
    update_.users = users;
    update_.slots = slots_.data();
    update_.row_offsets = offsets_.data();
    update_.x.vectors = x;
    update_.target.vectors = target;
    report_ = {loss_.data(), grad_norm_.data(), flags_.data()};
  }
  OwnKernel(const OwnKernel&) = delete;
  OwnKernel& operator=(const OwnKernel&) = delete;
  ~OwnKernel() { kernels_.destroy_pool(pool_); }

  void apply() { require(kernels_.apply(pool_, &apply_, y_)); }
  void update() { require(kernels_.update(pool_, &update_, &report_)); }

  // A rejected step does less work than one that is taken.
  void require_no_rejected_step() const {
    for (const uint8_t flag : flags_) {
      if (flag & LORAKEET_FLAG_REJECTED) throw std::runtime_error("the step of a user was rejected");
    }
  }

 private:
  static void require(lorakeet_status status) {
    if (status != LORAKEET_OK) throw std::runtime_error("a kernel failed, status " + std::to_string(status));
  }

  const lorakeet_kernels& kernels_;
  lorakeet_pool* pool_ = nullptr;
  std::vector<uint32_t> slots_, offsets_, row_slots_;
  float* y_;
  std::vector<float> loss_, grad_norm_;
  std::vector<uint8_t> flags_;
  lorakeet_apply_batch apply_{};
  lorakeet_update_batch update_{};
  lorakeet_update_report report_{};
};

}  // namespace lorakeet
