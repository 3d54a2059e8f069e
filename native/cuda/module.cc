// The table of kernels.h over lorakeet_pool, and the module's exports.
#include <stdio.h>

#include <string>

#include "decoder/table.h"
#include "guard.h"
#include "lorakeet/cuda.h"
#include "pool.h"

#if defined(_WIN32)
#define LORAKEET_EXPORT __declspec(dllexport)
#else
#define LORAKEET_EXPORT __attribute__((visibility("default")))
#endif

using lorakeet::cuda::guarded;
using lorakeet::cuda::Probe;

namespace {

thread_local std::string failure_reason;

}  // namespace

lorakeet_status lorakeet::cuda::failed(lorakeet_status status, const std::string& reason) {
  failure_reason = reason;
  return status;
}

namespace {

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

namespace {

const Probe& device() {
  static const Probe probe = lorakeet::cuda::probe_device();
  return probe;
}

}  // namespace

extern "C" LORAKEET_EXPORT const lorakeet_kernels* lorakeet_cuda_kernels(char* reason, size_t reason_size) {
  const Probe& probe = device();
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

extern "C" LORAKEET_EXPORT const lorakeet_decoder* lorakeet_cuda_decoder(char* reason, size_t reason_size) {
  const Probe& probe = device();
  const std::string missing = probe.name.empty() ? probe.reason : lorakeet::cuda::decoder::blas_missing();
  if (!missing.empty()) {
    snprintf(reason, reason_size, "%s", missing.c_str());
    return nullptr;
  }
  static const lorakeet_decoder decoder = lorakeet::cuda::decoder::make_table(probe.name.c_str());
  return &decoder;
}

extern "C" LORAKEET_EXPORT void lorakeet_cuda_failure(char* reason, size_t reason_size) {
  snprintf(reason, reason_size, "%s", failure_reason.c_str());
  failure_reason.clear();
}
