// The table of kernels.h over lorakeet_pool, and the module's two exports.
#include <stdio.h>

#include <new>
#include <string>

#include "lorakeet/cuda.h"
#include "pool.h"

#if defined(_WIN32)
#define LORAKEET_EXPORT __declspec(dllexport)
#else
#define LORAKEET_EXPORT __attribute__((visibility("default")))
#endif

using lorakeet::cuda::Failure;
using lorakeet::cuda::Probe;

namespace {

thread_local std::string failure_reason;

lorakeet_status failed(lorakeet_status status, const std::string& reason) {
  failure_reason = reason;
  return status;
}

// Nothing is thrown across the C boundary.
template <class Operation>
lorakeet_status guarded(Operation operation) noexcept {
  failure_reason.clear();
  try {
    operation();
    return LORAKEET_OK;
  } catch (const Failure& failure) {
    return failed(failure.status, failure.reason);
  } catch (const std::bad_alloc&) {
    return failed(LORAKEET_OUT_OF_MEMORY, "the host has no memory");
  } catch (...) {
    return failed(LORAKEET_DEVICE_FAILURE, "an unknown failure");
  }
}

lorakeet_status create_pool(const lorakeet_pool_config* config, lorakeet_pool** pool) {
  return guarded([&] { *pool = new lorakeet_pool(*config); });
}

void destroy_pool(lorakeet_pool* pool) { delete pool; }

uint64_t memory_bytes(const lorakeet_pool* pool) { return pool->memory_bytes(); }

lorakeet_status write(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, const float* slabs,
                      const uint32_t* steps) {
  return guarded([&] { pool->write(slots, count, slabs, steps); });
}

lorakeet_status read(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps) {
  return guarded([&] { pool->read(slots, count, slabs, steps); });
}

lorakeet_status copy(lorakeet_pool* pool, const uint32_t* from, const uint32_t* to, uint32_t count) {
  return guarded([&] { pool->copy(from, to, count); });
}

lorakeet_status clear(lorakeet_pool* pool, const uint32_t* slots, uint32_t count) {
  return guarded([&] { pool->clear(slots, count); });
}

lorakeet_status bind_items(lorakeet_pool* pool, const float* matrix, uint32_t items) {
  return guarded([&] { pool->bind_items(matrix, items); });
}

lorakeet_status apply(lorakeet_pool* pool, const lorakeet_apply_batch* batch, float* y) {
  return guarded([&] { pool->apply(*batch, y); });
}

lorakeet_status update(lorakeet_pool* pool, const lorakeet_update_batch* batch, const lorakeet_update_report* report) {
  return guarded([&] { pool->update(*batch, *report); });
}

lorakeet_status consolidate(lorakeet_pool* pool, const lorakeet_consolidate_batch* batch) {
  return guarded([&] { pool->consolidate(*batch); });
}

}  // namespace

extern "C" LORAKEET_EXPORT const lorakeet_kernels* lorakeet_cuda_kernels(char* reason, size_t reason_size) {
  static const Probe probe = lorakeet::cuda::probe_device();
  if (probe.name.empty()) {
    snprintf(reason, reason_size, "%s", probe.reason.c_str());
    return nullptr;
  }
  static const lorakeet_kernels kernels = {
      LORAKEET_KERNELS_ABI,
      probe.name.c_str(),
      1u << LORAKEET_FP32 | 1u << LORAKEET_BF16,
      create_pool,
      destroy_pool,
      memory_bytes,
      write,
      read,
      copy,
      clear,
      bind_items,
      apply,
      update,
      consolidate,
  };
  return &kernels;
}

extern "C" LORAKEET_EXPORT void lorakeet_cuda_failure(char* reason, size_t reason_size) {
  snprintf(reason, reason_size, "%s", failure_reason.c_str());
  failure_reason.clear();
}
