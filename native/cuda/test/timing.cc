#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "checks.h"

namespace {

constexpr uint64_t kPopulationBytes = 2ull << 30;
constexpr uint64_t kMostRowBytes = 1ull << 30;
constexpr uint32_t kMostUsers = 65536, kItems = 4096, kCalls = 7;

double median_seconds(const std::vector<double>& times) {
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

// The median of several calls, after two that are not counted.
template <class Call>
double time_call(Call call) {
  std::vector<double> times;
  for (uint32_t i = 0; i < kCalls + 2; i++) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (i >= 2) times.push_back(taken.count());
  }
  return median_seconds(times);
}

void print_row(const char* operation, uint32_t dim, uint32_t rank, uint32_t n, uint32_t users, double seconds,
               double bytes, double copy_gbps) {
  const double gbps = bytes / seconds * 1e-9;
  printf("%-7s %5u/%-3u n=%-3u users=%-6u %10.3f ms %9.3f M users/s %9.1f GB/s %6.1f %%\n", operation, dim, rank, n,
         users, seconds * 1e3, users / seconds * 1e-6, gbps, 100 * gbps / copy_gbps);
}

// Wall-clock time of whole calls through the C ABI: ids and reports travel, rows and slots are resident; apply also
// brings y to the host. Bytes are the least that the GPU's memory must move: 16P + 8·n·d an update (θ, F, θ* read, θ
// written; x and target), 4P + 8·n·d an apply.
void time_shape(const lorakeet_kernels& kernels, uint32_t dim, uint32_t rank, double copy_gbps, double upload_gbps) {
  lorakeet_pool_config config = plain_config(rank, dim, dim, true, kMostUsers);
  config.ewc = LORAKEET_EWC_PROXIMAL;
  config.ewc_lambda = 0.1;
  config.max_grad_norm = 1;
  config.threads = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t slab_bytes = slab_length(config) * sizeof(float);
  const uint32_t users = static_cast<uint32_t>(std::min<uint64_t>(kMostUsers, kPopulationBytes / slab_bytes));
  const double parameters = parameter_count(config);
  Random random(dim);
  Pool pool(kernels, config);
  pool.bind_items(random.uniforms(static_cast<size_t>(kItems) * dim, -1, 1));
  const Floats slab = random.uniforms(slab_length(config), 0, 0.1);
  Ids slots(users);
  std::iota(slots.begin(), slots.end(), 0);
  for (const uint32_t slot : slots) pool.write({slot}, slab, {0});

  for (const uint32_t n : {1u, 8u, 64u}) {
    Ids offsets(users + 1), x(static_cast<size_t>(users) * n), target(x.size()), row_slots(x.size());
    for (uint32_t u = 0; u <= users; u++) offsets[u] = u * n;
    for (size_t i = 0; i < x.size(); i++) {
      x[i] = random.below(kItems);
      target[i] = random.below(kItems);
      row_slots[i] = static_cast<uint32_t>(i / n);
    }
    lorakeet_update_batch batch = {};
    batch.users = users;
    batch.slots = slots.data();
    batch.row_offsets = offsets.data();
    batch.x.ids = x.data();
    batch.target.ids = target.data();
    const double row_bytes = 8.0 * n * dim;
    const double update = time_call([&] { pool.update(batch); });
    print_row("update", dim, rank, n, users, update, users * (16 * parameters + row_bytes), copy_gbps);

    // The same with rows as vectors, which have to travel: GB/s of rows, against the transfer rate.
    const size_t values = x.size() * dim;
    if (n == 8 && values * sizeof(float) <= kMostRowBytes) {
      Random numbers(n);
      const Floats vectors = numbers.uniforms(values, -1, 1), targets = numbers.uniforms(values, -1, 1);
      lorakeet_update_batch sent = batch;
      sent.x = {vectors.data(), nullptr};
      sent.target = {targets.data(), nullptr};
      const double taken = time_call([&] { pool.update(sent); });
      print_row("rows", dim, rank, n, users, taken, users * row_bytes, upload_gbps);
    }

    Floats y(x.size() * dim);
    const lorakeet_apply_batch rows = {static_cast<uint32_t>(x.size()), row_slots.data(), {nullptr, x.data()}};
    const double apply = time_call([&] { pool.must(kernels.apply(pool.handle, &rows, y.data()), "apply"); });
    print_row("apply", dim, rank, n, users, apply, users * (4 * parameters + row_bytes), copy_gbps);
  }
}

}  // namespace

void time_kernels(const lorakeet_kernels& kernels, double copy_gbps, double upload_gbps) {
  printf("whole calls; %% of the copy bandwidth of this run, %.1f GB/s; `rows`: of the transfer rate, %.1f GB/s\n",
         copy_gbps, upload_gbps);
  const uint32_t shapes[][2] = {{64, 4}, {128, 8}, {384, 8}, {768, 16}, {1536, 16}};
  for (const auto& shape : shapes) time_shape(kernels, shape[0], shape[1], copy_gbps, upload_gbps);
}
