// The device of device.h on the host, for tests: memory is host memory, and blocks run one after another.
//
// Two environment variables, read at every call, let tests reach what is rare on a GPU:
//   LORAKEET_SHIM_REVERSED=1        independent calls of a phase run last to first (see Block)
//   LORAKEET_SHIM_MEMORY_BYTES=n    allocations beyond n bytes in all fail
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <vector>

#include "apply_kernel.h"
#include "consolidate_kernel.h"
#include "device.h"
#include "update_kernel.h"

namespace lorakeet::cuda {
namespace {

// All bits set is NaN, so that a kernel which reads what it has not written is noticed.
constexpr int kPoison = 0xFF;
// An allocation's size stands in front of it; 64 bytes keep it aligned.
constexpr size_t kHeader = 64;

std::atomic<size_t> allocated{0};

// As on the GPU: one block works for every blocks-th row or user, always with the same shared and scratch memory.
template <class Run>
void run_blocks(uint32_t blocks, uint32_t count, uint32_t shared_floats, Run run) {
  const char* reversed = getenv("LORAKEET_SHIM_REVERSED");
  std::vector<float> shared(shared_floats);
  for (uint32_t index = 0; index < blocks; index++) {
    memset(shared.data(), kPoison, shared.size() * sizeof(float));
    const Block block = {shared.data(), reversed && reversed[0] == '1'};
    for (uint32_t i = index; i < count; i += blocks) run(block, i, index);
  }
}

}  // namespace

Probe probe_device() { return {"host-shim", ""}; }

// Few, so that blocks do work for several users and stale scratch memory would show.
uint32_t concurrent_blocks() { return 3; }

void* allocate(size_t bytes) {
  const char* limit = getenv("LORAKEET_SHIM_MEMORY_BYTES");
  if (limit && allocated + bytes > strtoull(limit, nullptr, 10)) throw Failure{LORAKEET_OUT_OF_MEMORY};
  char* memory = static_cast<char*>(malloc(bytes + kHeader));
  if (!memory) throw Failure{LORAKEET_OUT_OF_MEMORY};
  memcpy(memory, &bytes, sizeof(bytes));
  memset(memory + kHeader, kPoison, bytes);
  allocated += bytes;
  return memory + kHeader;
}

void release(void* memory) noexcept {
  char* start = static_cast<char*>(memory) - kHeader;
  size_t bytes = 0;
  memcpy(&bytes, start, sizeof(bytes));
  allocated -= bytes;
  free(start);
}

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::upload(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void Stream::download(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void Stream::copy(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void Stream::zero(void* memory, size_t bytes) { memset(memory, 0, bytes); }
void Stream::synchronize() {}

void Stream::launch(const ApplyBatch& batch, uint32_t blocks) {
  run_blocks(blocks, batch.rows, apply_shared_floats(batch.model),
             [&](const Block& block, uint32_t row, uint32_t) { apply_row(block, batch, row); });
}

void Stream::launch(const UpdateBatch& batch, uint32_t blocks) {
  const uint64_t scratch = update_scratch_floats(batch.model);
  run_blocks(blocks, batch.users, update_shared_floats(batch.model),
             [&](const Block& block, uint32_t user, uint32_t index) {
               update_user(block, batch, user, batch.scratch + index * scratch);
             });
}

void Stream::launch(const ConsolidateBatch& batch, uint32_t blocks) {
  const uint64_t scratch = consolidate_scratch_floats(batch.model);
  run_blocks(blocks, batch.users, consolidate_shared_floats(batch.model),
             [&](const Block& block, uint32_t user, uint32_t index) {
               consolidate_user(block, batch, user, batch.scratch + index * scratch);
             });
}

}  // namespace lorakeet::cuda
