#include "support.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <unordered_set>

lorakeet_cuda_failure_function cuda_failure = nullptr;

Ids Random::distinct(uint32_t count, uint32_t bound) {
  std::unordered_set<uint32_t> seen;
  Ids result;
  while (result.size() < count) {
    const uint32_t value = below(bound);
    if (seen.insert(value).second) result.push_back(value);
  }
  return result;
}

void Checks::expect(bool holds, const char* what, ...) {
  count_++;
  if (holds) return;
  failures_++;
  va_list arguments;
  va_start(arguments, what);
  printf("FAILED: ");
  vprintf(what, arguments);
  printf("\n");
  va_end(arguments);
}

double largest(const double* values, size_t count) {
  double result = 0;
  for (size_t i = 0; i < count; i++) result = std::max(result, fabs(values[i]));
  return result;
}

void Checks::near(const std::string& what, const float* got, const double* want, size_t count, double limit) {
  size_t worst = 0;
  double worst_error = 0;
  for (size_t i = 0; i < count; i++) {
    const double error = fabs(got[i] - want[i]);
    if (error <= worst_error) continue;  // which a NaN is not
    worst_error = error;
    worst = i;
    if (!(error <= limit)) break;
  }
  expect(worst_error <= limit, "%s: element %zu is %.9g, expected %.9g ± %.3g", what.c_str(), worst, got[worst],
         want[worst], limit);
  if (limit > 0 && worst_error / limit > worst_share_) {
    worst_share_ = worst_error / limit;
    worst_ = what;
  }
}

void Checks::equal(const std::string& what, const Floats& got, const Floats& want) {
  const bool same = got.size() == want.size() && memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0;
  expect(same, "%s: not bit-identical", what.c_str());
}

uint32_t parameter_count(const lorakeet_pool_config& config) {
  return config.rank * (config.in_features + config.out_features);
}

uint64_t slab_length(const lorakeet_pool_config& config) {
  const uint32_t sections =
      1 + (config.ewc == LORAKEET_EWC_NONE ? 0 : 2) + (config.optimizer == LORAKEET_ADAMW ? 2 : 0);
  return static_cast<uint64_t>(sections) * parameter_count(config);
}

lorakeet_pool_config plain_config(uint32_t rank, uint32_t in, uint32_t out, bool residual, uint32_t capacity) {
  lorakeet_pool_config config = {};
  config.rank = rank;
  config.in_features = in;
  config.out_features = out;
  config.capacity = capacity;
  config.threads = 1;
  config.residual = residual;
  config.scaling = 0.5;
  config.learning_rate = 0.1;
  config.max_grad_norm = INFINITY;
  return config;
}

Pool::Pool(const lorakeet_kernels& kernels, const lorakeet_pool_config& pool_config)
    : table(kernels), config(pool_config) {
  must(table.create_pool(&config, &handle), "create_pool");
}

void Pool::must(lorakeet_status status, const char* operation) const {
  if (status == LORAKEET_OK) return;
  char reason[512] = "";
  cuda_failure(reason, sizeof(reason));
  printf("FAILED: %s returned status %d: %s\n", operation, status, reason);
  exit(1);
}

void Pool::write(const Ids& slots, const Floats& slabs, const Ids& steps) {
  must(table.write(handle, slots.data(), static_cast<uint32_t>(slots.size()), slabs.data(), steps.data()), "write");
}

Floats Pool::read(const Ids& slots, Ids* steps) {
  Floats slabs(slots.size() * slab_length(config));
  Ids counts(slots.size());
  must(table.read(handle, slots.data(), static_cast<uint32_t>(slots.size()), slabs.data(), counts.data()), "read");
  if (steps) *steps = counts;
  return slabs;
}

void Pool::bind_items(const Floats& matrix) {
  const uint32_t items = static_cast<uint32_t>(matrix.size() / config.in_features);
  must(table.bind_items(handle, items ? matrix.data() : nullptr, items), "bind_items");
}

Floats Pool::apply(const Ids& slots, lorakeet_rows x) {
  Floats y(slots.size() * config.out_features, NAN);
  const lorakeet_apply_batch batch = {static_cast<uint32_t>(slots.size()), slots.data(), x};
  must(table.apply(handle, &batch, y.data()), "apply");
  return y;
}

Report Pool::update(const lorakeet_update_batch& batch) {
  Report report(batch.users);
  const lorakeet_update_report view = report.view();
  must(table.update(handle, &batch, &view), "update");
  return report;
}
