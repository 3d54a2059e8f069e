// Times the kernels alone: frames and rows lie in device memory, nothing travels. bench/gpu.sh runs it on a GPU, and on
// the host shim, where the times mean nothing, to see that it runs.
//
//   kernel_times <copy GB/s> [<bytes of device memory to use>]
//
// Bytes are the least that memory must move: an update reads θ, F, θ*, x and t and writes θ (16P + 8·n·d); an apply
// reads A and B once for all rows of a user, and x, and writes y (4P + 8·n·d).
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "../memory.h"
#include "../plan.h"
#include "../settings.h"

using namespace lorakeet::cuda;

namespace {

constexpr uint32_t kMostUsers = 1000000;
constexpr uint64_t kMostMemory = 64ull << 30;
constexpr double kSampleSeconds = 0.05;

template <class T>
T* upload(Buffer<OnDevice>& buffer, const std::vector<T>& values, Stream& stream) {
  T* memory = reinterpret_cast<T*>(buffer.reserve(values.size() * sizeof(T)));
  stream.upload(memory, values.data(), values.size() * sizeof(T));
  stream.synchronize();
  return memory;
}

// Seconds of one launch: as many as fill kSampleSeconds, one after another, after one that is not counted.
template <class Launch>
double time_launch(Stream& stream, Launch launch) {
  const auto sample = [&](uint32_t launches) {
    const auto start = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < launches; i++) launch();
    stream.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  sample(1);
  const uint32_t launches = static_cast<uint32_t>(std::clamp(kSampleSeconds / sample(1), 1.0, 200.0));
  std::vector<double> times;
  for (int i = 0; i < 3; i++) times.push_back(sample(launches) / launches);
  std::sort(times.begin(), times.end());
  return times[1];
}

// Memory in which numbers are small and not all the same: copies of one block, made on the device.
float* numbers(Buffer<OnDevice>& buffer, uint64_t count, Stream& stream) {
  constexpr uint64_t kBlock = 1 << 16;
  std::vector<float> block(kBlock);
  for (size_t i = 0; i < kBlock; i++) block[i] = 0.001f * static_cast<float>(i % 97);
  const uint64_t copies = (count + kBlock - 1) / kBlock;
  float* memory = reinterpret_cast<float*>(buffer.reserve(copies * kBlock * sizeof(float)));
  stream.upload(memory, block.data(), kBlock * sizeof(float));
  if (copies > 1) {
    Buffer<Pinned> lists;
    void** to = reinterpret_cast<void**>(lists.reserve(2 * copies * sizeof(void*)));
    const void** from = const_cast<const void**>(to + copies);
    for (uint64_t i = 1; i < copies; i++) {
      from[i - 1] = memory;
      to[i - 1] = memory + i * kBlock;
    }
    stream.launch(MoveBatch{static_cast<uint32_t>(copies - 1), kBlock * sizeof(float), from, to});
    stream.synchronize();
  }
  stream.synchronize();
  return memory;
}

void report(const char* operation, uint32_t dim, uint32_t rank, uint32_t n, uint32_t users, double seconds,
            double bytes, double copy_gbps) {
  const double gbps = bytes * users / seconds * 1e-9;
  printf("kernel %-6s %4u/%-3u n=%-2u U=%-8u %9.1f ns/user %8.2f M users/s %7.0f GB/s %5.1f %%\n", operation, dim, rank,
         n, users, seconds / users * 1e9, users / seconds * 1e-6, gbps, 100 * gbps / copy_gbps);
}

void time_shape(uint32_t dim, uint32_t rank, uint32_t n, uint32_t most_users, uint64_t memory, double copy_gbps) {
  lorakeet_pool_config config = {};
  config.rank = rank;
  config.in_features = config.out_features = dim;
  config.residual = 1;
  config.ewc = LORAKEET_EWC_PROXIMAL;
  config.scaling = 0.5;
  UpdateBatch batch = {};
  batch.model = make_model(config);
  batch.layout = FrameLayout(batch.model);
  batch.plan = make_plan(batch.model, device_limits());
  batch.chunk = std::min(n, kChunk);
  const uint64_t each = batch.layout.bytes + 2ull * n * dim * sizeof(float);
  const uint32_t users = batch.users = static_cast<uint32_t>(std::clamp<uint64_t>(memory / each, 1, most_users));
  const uint64_t values = static_cast<uint64_t>(users) * n * dim;

  Stream stream;
  Buffer<OnDevice> frames, lists, offsets, x, target, results, groups;
  char* first = reinterpret_cast<char*>(numbers(frames, users * batch.layout.bytes / sizeof(float), stream));
  std::vector<void*> list(users);
  std::vector<uint32_t> rows(users + 1);
  std::vector<ApplyGroup> group;
  for (uint32_t u = 0; u < users; u++) {
    list[u] = first + u * batch.layout.bytes;
    rows[u + 1] = (u + 1) * n;
    for (uint32_t done = 0; done < n; done += kChunk) {
      group.push_back({static_cast<const float*>(list[u]), u * n + done, std::min(n - done, kChunk)});
    }
  }
  batch.frames = upload(lists, list, stream);
  batch.row_offsets = upload(offsets, rows, stream);
  batch.x = {numbers(x, values, stream), nullptr, dim};
  batch.target = {numbers(target, values, stream), nullptr, dim};
  batch.default_learning_rate = 1e-3f;
  batch.default_max_grad_norm = 1;
  batch.default_ewc_lambda = 0.1f;
  batch.loss = reinterpret_cast<float*>(results.reserve(3ull * users * sizeof(float)));
  batch.grad_norm = batch.loss + users;
  batch.flags = reinterpret_cast<uint32_t*>(batch.grad_norm + users);
  const uint32_t clusters = std::min(users, concurrent_clusters(batch.model, batch.plan, batch.chunk));
  const double parameters = batch.model.parameters(), row_bytes = 8.0 * n * dim;
  report("update", dim, rank, n, users, time_launch(stream, [&] { stream.launch(batch, clusters); }),
         16 * parameters + row_bytes, copy_gbps);

  ApplyBatch apply = {};
  apply.model = batch.model;
  apply.groups = static_cast<uint32_t>(group.size());
  apply.group = upload(groups, group, stream);
  apply.x = batch.x;
  apply.y = const_cast<float*>(batch.target.base);  // as large as the result, and not needed any more
  report("apply", dim, rank, n, users, time_launch(stream, [&] { stream.launch(apply); }), 4 * parameters + row_bytes,
         copy_gbps);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    printf("usage: kernel_times <copy GB/s> [<bytes>]\n");
    return 64;
  }
  try {
    const Probe probe = probe_device();
    if (probe.name.empty()) {
      printf("%s\n", probe.reason.c_str());
      return 2;
    }
    const uint64_t memory =
        count > 2 ? strtoull(arguments[2], nullptr, 10) : std::min<uint64_t>(device_memory().free / 2, kMostMemory);
    for (const auto& [dim, rank] : {std::pair(64u, 4u), {128u, 8u}, {384u, 8u}, {768u, 16u}, {1536u, 16u}}) {
      for (const uint32_t n : {1u, 8u, 64u}) {
        for (const uint32_t users : {10000u, kMostUsers})
          time_shape(dim, rank, n, users, memory, strtod(arguments[1], nullptr));
      }
    }
  } catch (const Failure& failure) {
    printf("%s\n", failure.reason.c_str());
    return 1;
  }
  return 0;
}
