// The device of device.h on the host, for tests: memory is host memory, and clusters run one after another.
//
// Environment variables, read at every call, let tests reach what is rare on a GPU or different on another:
//   LORAKEET_SHIM_REVERSED=1        independent calls of a phase run last to first (see Block)
//   LORAKEET_SHIM_MEMORY_BYTES=n    the device has n bytes of memory
//   LORAKEET_SHIM_SHARED_BYTES=n    a block can have n bytes of shared memory; by default those of an H200
//   LORAKEET_SHIM_RANKS=n           a cluster can have n blocks; 1: no clusters
//   LORAKEET_SHIM_FAIL_LAUNCH=n     the n-th launch from now on fails, once; products count
//   LORAKEET_SHIM_NO_BLAS=1         there is no library for products (decoder/blas_host.cc)
#include "device_host.h"

#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <thread>

#include "apply_kernel.h"
#include "consolidate_kernel.h"
#include "device.h"
#include "transfer_kernel.h"
#include "update_kernel.h"

namespace lorakeet::cuda {
namespace {

// All bits set is NaN, so that a kernel which reads what it has not written is noticed.
constexpr int kPoison = 0xFF;
// An allocation's size stands in front of it; 256 bytes keep it aligned as on a GPU.
constexpr size_t kHeader = 256;
// Few, so that clusters do work for several users and stale shared or scratch memory would show.
constexpr uint32_t kClusters = 3;

std::atomic<uint64_t> allocated{0};

}  // namespace

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* value = getenv(name);
  return value && *value ? strtoull(value, nullptr, 10) : otherwise;
}

void* take(size_t bytes) {
  char* memory = static_cast<char*>(aligned_alloc(kHeader, round_up(bytes + kHeader, kHeader)));
  if (!memory) throw Failure{LORAKEET_OUT_OF_MEMORY, "the host has no memory"};
  memcpy(memory, &bytes, sizeof(bytes));
  memset(memory + kHeader, kPoison, bytes);
  return memory + kHeader;
}

size_t give_back(void* memory) {
  char* start = static_cast<char*>(memory) - kHeader;
  size_t bytes = 0;
  memcpy(&bytes, start, sizeof(bytes));
  free(start);
  return bytes;
}

void fail_if_told() {
  static std::atomic<uint64_t> launches{0}, armed{0};
  const uint64_t failing = setting("LORAKEET_SHIM_FAIL_LAUNCH", 0);
  if (failing != armed) {
    armed = failing;
    launches = 0;
  }
  if (++launches == failing) throw Failure{LORAKEET_DEVICE_FAILURE, "this launch was told to fail"};
}

namespace {

// Runs run(block, cluster) for every block of every cluster; each block has shared memory of its own.
template <class Run>
void run_clusters(uint32_t clusters, uint32_t ranks, uint32_t threads, uint32_t shared_floats, Run run) {
  fail_if_told();
  const bool reversed = setting("LORAKEET_SHIM_REVERSED", 0) == 1;
  ClusterMeeting meeting(ranks);
  const auto run_block = [&](uint32_t rank) {
    float* shared = static_cast<float*>(take(shared_floats * sizeof(float)));
    meeting.shared[rank] = shared;
    for (uint32_t cluster = 0; cluster < clusters; cluster++) {
      run(Block{shared, threads, rank, ranks, reversed, &meeting, {}, 0}, cluster);
    }
    meeting.barrier();  // nobody's shared memory goes while another may still read it
    give_back(shared);
  };
  if (ranks == 1) return run_block(0);
  std::vector<std::thread> blocks;
  for (uint32_t rank = 0; rank < ranks; rank++) blocks.emplace_back(run_block, rank);
  for (std::thread& block : blocks) block.join();
}

template <bool kResident, class State>
void run_updates(const UpdateBatch& batch, uint32_t clusters) {
  const uint64_t scratch = update_scratch_floats(batch.model, batch.plan);
  run_clusters(clusters, batch.plan.ranks, batch.plan.threads,
               update_shared_floats(batch.model, batch.plan, batch.chunk), [&](const Block& block, uint32_t cluster) {
                 for (uint32_t user = cluster; user < batch.users; user += clusters) {
                   update_user<kResident, State>(block, batch, user, user + clusters,
                                                 batch.scratch + cluster * scratch);
                 }
               });
}

}  // namespace

Probe probe_device() { return {"host-shim", ""}; }

Limits device_limits() {
  return {static_cast<uint32_t>(setting("LORAKEET_SHIM_SHARED_BYTES", 226 << 10)),
          static_cast<uint32_t>(setting("LORAKEET_SHIM_RANKS", kMostRanks))};
}

DeviceMemory device_memory() {
  const uint64_t total = setting("LORAKEET_SHIM_MEMORY_BYTES", 64ull << 30);
  return {total > allocated ? total - allocated : 0, total};
}

void* allocate(size_t bytes) {
  if (device_memory().free < bytes) throw Failure{LORAKEET_OUT_OF_MEMORY, "the device has no memory"};
  allocated += bytes;
  return take(bytes);
}

void release(void* memory) noexcept { allocated -= give_back(memory); }

void* allocate_pinned(size_t bytes) { return take(bytes); }

void release_pinned(void* memory) noexcept { give_back(memory); }

uint32_t concurrent_clusters(const Model&, const Plan&, uint32_t) { return kClusters; }

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::upload(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void Stream::download(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }
void Stream::synchronize() {}

void Stream::launch(const ApplyBatch& batch) {
  run_clusters(1, 1, apply_team(batch.model), apply_shared_floats(batch.model), [&](const Block& block, uint32_t) {
    for (uint32_t group = 0; group < batch.groups; group++) apply_group(block, batch, group);
  });
}

void Stream::launch(const UpdateBatch& batch, uint32_t clusters) {
  if (batch.model.bf16) {
    (batch.plan.resident ? run_updates<true, Bf16> : run_updates<false, Bf16>)(batch, clusters);
  } else {
    (batch.plan.resident ? run_updates<true, float> : run_updates<false, float>)(batch, clusters);
  }
}

void Stream::launch(const ConsolidateBatch& batch) {
  run_clusters(1, 1, kMostThreads, consolidate_shared_floats(batch.model), [&](const Block& block, uint32_t) {
    for (uint32_t user = 0; user < batch.users; user++) {
      batch.model.bf16 ? consolidate_user<Bf16>(block, batch, user) : consolidate_user<float>(block, batch, user);
    }
  });
}

void Stream::launch(const MoveBatch& batch) {
  run_clusters(1, 1, kMostThreads, 0, [&](const Block& block, uint32_t) {
    for (uint32_t i = 0; i < batch.count; i++) move_frame(block, batch, i);
  });
}

void Stream::launch(const PackBatch& batch) {
  run_clusters(1, 1, kMostThreads, 0, [&](const Block& block, uint32_t) {
    for (uint32_t i = 0; i < batch.count; i++) {
      batch.model.bf16 ? pack_slot<Bf16>(block, batch, i) : pack_slot<float>(block, batch, i);
    }
  });
}

}  // namespace lorakeet::cuda
