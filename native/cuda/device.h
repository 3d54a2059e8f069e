// The little that a pool asks of a device. Two implementations: device_cuda.cu, and device_host.cc, which runs the same
// kernels on the host for tests. Functions throw Failure; everything on one stream happens in order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>

#include "batch.h"
#include "lorakeet/kernels.h"

namespace lorakeet::cuda {

struct Failure {
  lorakeet_status status;
};

// The device's name, or nothing and the reason why there is none.
struct Probe {
  std::string name, reason;
};
Probe probe_device();

// The most blocks that are worth launching at once; each gets scratch memory of its own.
uint32_t concurrent_blocks();

// Uninitialised device memory. Status LORAKEET_OUT_OF_MEMORY when there is not enough.
void* allocate(size_t bytes);
void release(void* memory) noexcept;

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // All of these may still run when they return: what they read and write must stay until synchronize has returned.
  void upload(void* to, const void* from, size_t bytes);
  void download(void* to, const void* from, size_t bytes);
  void copy(void* to, const void* from, size_t bytes);
  void zero(void* memory, size_t bytes);
  void synchronize();

  // Each runs with `blocks` blocks, which share the rows or users of the batch.
  void launch(const ApplyBatch& batch, uint32_t blocks);
  void launch(const UpdateBatch& batch, uint32_t blocks);
  void launch(const ConsolidateBatch& batch, uint32_t blocks);

 private:
  void* handle_ = nullptr;
};

}  // namespace lorakeet::cuda
