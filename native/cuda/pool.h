// The pool behind kernels.h on a device: the operations, and the memory through which batches travel.
#pragma once

#include "slot_store.h"

struct lorakeet_pool {
 public:
  explicit lorakeet_pool(const lorakeet_pool_config& config);

  // The operations of kernels.h; failures are thrown as lorakeet::cuda::Failure.
  lorakeet::cuda::SlotStore& slots() { return slots_; }
  void bind_items(const float* matrix, uint32_t items);
  void apply(const lorakeet_apply_batch& batch, float* y);
  void update(const lorakeet_update_batch& batch, const lorakeet_update_report& report);
  void consolidate(const lorakeet_consolidate_batch& batch);
  uint64_t memory_bytes() const;

 private:
  using Buffer = lorakeet::cuda::Buffer;

  // Uploads `count` elements through `buffer`; null stays null.
  template <class T>
  const T* stage(Buffer& buffer, const T* host, uint64_t count);
  lorakeet::cuda::Rows stage_rows(Buffer& buffer, const lorakeet_rows& rows, uint32_t count, uint32_t features);
  // How many blocks to launch for `count` rows or users when each needs `scratch` floats of its own.
  static uint32_t grid(uint32_t count, uint64_t scratch);

  const lorakeet::cuda::Model model_;
  const float learning_rate_, max_grad_norm_, ewc_lambda_;
  lorakeet::cuda::Stream stream_;
  lorakeet::cuda::SlotStore slots_;
  Buffer items_;
  // One for every argument or result; they keep the size of the largest batch so far.
  Buffer slot_list_, row_offsets_, x_, target_, row_weight_, rates_, bounds_, lambdas_;
  Buffer y_, loss_, grad_norm_, flags_, scratch_;
};
