// The little that a pool asks of a device. Two implementations: device_cuda.cu, and device_host.cc, which runs the same
// kernels on the host for tests. Functions throw Failure; everything on one stream happens in order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>

#include "batch.h"

namespace lorakeet::cuda {

struct Failure {
  lorakeet_status status;
  std::string reason;
};

// The device's name, or nothing and the reason why there is none.
struct Probe {
  std::string name, reason;
};
Probe probe_device();

struct Limits {
  uint32_t shared_bytes;  // the most dynamic shared memory that a block can have
  uint32_t ranks;         // the most blocks that a cluster can have; 1: no clusters
};
Limits device_limits();

struct DeviceMemory {
  uint64_t free, total;
};
DeviceMemory device_memory();

// Uninitialised memory of the device, and of the host such that copies to and from the device are fast and
// asynchronous. Status LORAKEET_OUT_OF_MEMORY when there is not enough.
void* allocate(size_t bytes);
void release(void* memory) noexcept;
void* allocate_pinned(size_t bytes);
void release_pinned(void* memory) noexcept;

// How many clusters of such an update the device runs at the same time.
uint32_t concurrent_clusters(const Model& model, const Plan& plan, uint32_t chunk);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // All of these may still run when they return: what they read and write must stay until synchronize has returned.
  void upload(void* to, const void* from, size_t bytes);
  void download(void* to, const void* from, size_t bytes);
  void synchronize();

  void* handle() const { return handle_; }  // the runtime's own, of a GPU

  void launch(const ApplyBatch& batch);
  void launch(const UpdateBatch& batch, uint32_t clusters);
  void launch(const ConsolidateBatch& batch);
  void launch(const MoveBatch& batch);
  void launch(const PackBatch& batch);

 private:
  void* handle_ = nullptr;
};

}  // namespace lorakeet::cuda
