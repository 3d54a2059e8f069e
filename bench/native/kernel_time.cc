// Times one kernel through its C table, with no JavaScript around, and prints ns per user. What a call from TypeScript
// takes beyond this is the cost of the way there.
//
//   lorakeet_kernel_time ISA apply|update sgd|adamw DIM RANK USERS ROWS_PER_USER
//
// The settings are those of bench/src/population.ts.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "lorakeet/cpu.h"
#include "timing.h"

using namespace lorakeet;

namespace {

// Uniform in [-1, 1), from a linear congruential generator.
struct Random {
  uint32_t state = 1;
  float next() {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<int32_t>(state)) / 2147483648.0f;
  }
};

std::vector<float> random_floats(size_t count, float scale, Random& random) {
  std::vector<float> values(count);
  for (float& value : values) value = scale * random.next();
  return values;
}

const lorakeet_kernels* kernels_named(const char* isa) {
  for (uint32_t i = 0; lorakeet_cpu_kernels(i); i++) {
    if (strcmp(lorakeet_cpu_kernels(i)->device, isa) == 0) return lorakeet_cpu_kernels(i);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const lorakeet_kernels* kernels = argc == 8 ? kernels_named(argv[1]) : nullptr;
  if (!kernels) {
    fprintf(stderr, "usage: lorakeet_kernel_time ISA apply|update sgd|adamw DIM RANK USERS ROWS_PER_USER\n");
    return 2;
  }
  const bool update = strcmp(argv[2], "update") == 0;
  const bool adamw = strcmp(argv[3], "adamw") == 0;
  const auto number = [argv](int i) { return static_cast<uint32_t>(strtoul(argv[i], nullptr, 10)); };
  const uint32_t dim = number(4), rank = number(5), users = number(6), rows_per_user = number(7);

  lorakeet_pool_config config{};
  config.rank = rank;
  config.in_features = config.out_features = dim;
  config.capacity = users;
  config.threads = 1;
  config.residual = 1;
  config.optimizer = adamw ? LORAKEET_ADAMW : LORAKEET_SGD;
  config.ewc = LORAKEET_EWC_PROXIMAL;
  config.scaling = 1.0 / rank;
  config.learning_rate = 1e-3;
  config.max_grad_norm = 1;
  config.ewc_lambda = 0.5;
  config.beta1 = 0.9, config.beta2 = 0.999, config.epsilon = 1e-8;
  lorakeet_pool* pool;
  if (kernels->create_pool(&config, &pool) != LORAKEET_OK) return 1;

  Random random;
  const size_t section = 2u * rank * static_cast<size_t>(dim);
  std::vector<float> slab = random_floats((adamw ? 5 : 3) * section, 1 / sqrtf(static_cast<float>(dim)), random);
  const auto positive = [&](size_t which) {
    for (size_t i = which * section; i < (which + 1) * section; i++) slab[i] = fabsf(slab[i]);
  };
  positive(1);             // Fisher
  if (adamw) positive(4);  // second moments
  std::vector<uint32_t> slots(users), offsets(users + 1), row_slots(users * rows_per_user);
  for (uint32_t u = 0; u < users; u++) {
    const uint32_t steps = 9;
    slots[u] = u;
    offsets[u + 1] = (u + 1) * rows_per_user;
    for (uint32_t i = 0; i < rows_per_user; i++) row_slots[offsets[u] + i] = u;
    if (kernels->write(pool, &u, 1, slab.data(), &steps) != LORAKEET_OK) return 1;
  }
  const size_t floats = row_slots.size() * static_cast<size_t>(dim);
  const std::vector<float> x = random_floats(floats, 1.7f, random), target = random_floats(floats, 1.7f, random);
  std::vector<float> y(floats), loss(users), grad_norm(users);
  std::vector<uint8_t> flags(users);

  lorakeet_apply_batch apply_batch{static_cast<uint32_t>(row_slots.size()), row_slots.data(), {x.data(), nullptr}};
  lorakeet_update_batch update_batch{};
  update_batch.users = users;
  update_batch.slots = slots.data();
  update_batch.row_offsets = offsets.data();
  update_batch.x.vectors = x.data();
  update_batch.target.vectors = target.data();
  const lorakeet_update_report report{loss.data(), grad_norm.data(), flags.data()};

  const double seconds = median_seconds(1e-3, 41, [&] {
    const lorakeet_status status =
        update ? kernels->update(pool, &update_batch, &report) : kernels->apply(pool, &apply_batch, y.data());
    if (status != LORAKEET_OK) exit(1);
  });
  for (const uint8_t flag : flags) {
    if (flag & LORAKEET_FLAG_REJECTED) return 1;
  }
  printf("%.3f\n", 1e9 * seconds / users);
  kernels->destroy_pool(pool);
  return 0;
}
