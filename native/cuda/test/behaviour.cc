#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "checks.h"

namespace {

constexpr uint32_t kRank = 3, kDim = 5, kTop = 2147483646;  // the last slot of the largest pool

lorakeet_pool_config full_config() {
  lorakeet_pool_config config = plain_config(kRank, kDim, kDim, true, kTop + 1);
  config.optimizer = LORAKEET_ADAMW;
  config.ewc = LORAKEET_EWC_PROXIMAL;
  config.ewc_lambda = 0.5;
  config.beta1 = 0.9;
  config.beta2 = 0.999;
  config.epsilon = 1e-8;
  return config;
}

bool all_zero(const Floats& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return value == 0; });
}

void check_slots(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = full_config();
  const size_t length = slab_length(config);
  Pool pool(kernels, config);
  Random random(7);
  Ids steps;
  checks.expect(all_zero(pool.read({0, kTop}, &steps)) && steps == Ids({0, 0}), "a slot never written is zero");
  const Floats x = random.uniforms(kDim, -1, 1);
  checks.equal("a slot never written is the identity", pool.apply({kTop}, {x.data(), nullptr}), x);
  const uint64_t before = kernels.memory_bytes(pool.handle);
  pool.must(kernels.clear(pool.handle, Ids({1, 1, kTop}).data(), 3), "clear");
  pool.must(kernels.copy(pool.handle, Ids({1}).data(), Ids({kTop}).data(), 1), "copy");
  checks.expect(kernels.memory_bytes(pool.handle) == before, "clearing and copying nothing takes no memory");

  const Floats slabs = random.uniforms(3 * length, 0, 1);
  pool.write({4, 5, kTop}, slabs, {7, 8, 9});
  checks.equal("slots are kept apart", pool.read({4, 5, kTop}, &steps), slabs);
  checks.expect(steps == Ids({7, 8, 9}), "step counts are kept");
  checks.expect(all_zero(pool.read({3, 6, kTop - 1})), "the neighbours of a written slot are zero");
  pool.must(kernels.copy(pool.handle, Ids({kTop, 5, 99}).data(), Ids({1000000, 6, 4}).data(), 3), "copy");
  const Floats copied = pool.read({1000000, 6}, &steps);
  checks.equal("copies", copied, [&] {
    Floats want(slabs.begin() + 2 * length, slabs.end());
    want.insert(want.end(), slabs.begin() + length, slabs.begin() + 2 * length);
    return want;
  }());
  checks.expect(steps == Ids({9, 8}), "step counts are copied");
  checks.expect(all_zero(pool.read({4}, &steps)) && steps[0] == 0, "copying a slot never written clears");
  pool.must(kernels.clear(pool.handle, Ids({5, kTop, 5}).data(), 3), "clear");
  checks.expect(all_zero(pool.read({5, kTop}, &steps)) && steps == Ids({0, 0}), "cleared slots are zero");
  checks.equal("clearing leaves others", pool.read({6}), Floats(slabs.begin() + length, slabs.begin() + 2 * length));

  const lorakeet_update_batch nobody = {};
  pool.update(nobody);
  pool.apply({}, {x.data(), nullptr});
}

// Long runs of neighbouring slots, which cross the borders of memory blocks, some of them never written.
void check_runs(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = plain_config(8, 500, 500, false, 5000);
  const size_t length = slab_length(config);
  Pool pool(kernels, config);
  Random random(23);
  Ids run, steps, got, everything, scattered;
  for (uint32_t slot = 1000; slot < 1400; slot++) run.push_back(slot);
  for (uint32_t slot = 900; slot < 1900; slot++) everything.push_back(slot);
  for (uint32_t i = 0; i < 400; i++) steps.push_back(i);
  const Floats slabs = random.uniforms(run.size() * length, -1, 1);
  pool.write(run, slabs, steps);
  checks.equal("a run of slots", pool.read(run, &got), slabs);
  checks.expect(got == steps, "step counts of a run of slots");
  const Floats all = pool.read(everything);
  checks.equal("a run within a longer one", Floats(all.begin() + 100 * length, all.begin() + 500 * length), slabs);
  checks.expect(all_zero(Floats(all.begin(), all.begin() + 100 * length)) &&
                    all_zero(Floats(all.begin() + 500 * length, all.end())),
                "slots around a run are zero");
  for (uint32_t slot = 1399; slot >= 1000; slot -= 7) scattered.push_back(slot);
  const Floats some = pool.read(scattered, &got);
  bool same = true;
  for (size_t i = 0; i < scattered.size(); i++) {
    const uint32_t at = scattered[i] - 1000;
    same = same && got[i] == at && memcmp(&some[i * length], &slabs[at * length], length * sizeof(float)) == 0;
  }
  checks.expect(same, "slots of a run one by one");
}

// Three users, of whom the middle one's rows are spoiled: he is left as he was, and the others step as they do alone.
void check_spoiled(const lorakeet_kernels& kernels, const lorakeet_pool_config& config, Checks& checks,
                   const char* what, uint8_t flag, float spoiled_target, float weight, float rate) {
  Pool pool(kernels, config), other(kernels, config);
  Random random(11);
  const Ids slots = {2, 0, 9}, offsets = {0, 2, 3, 5};
  const Floats slabs = random.uniforms(3 * slab_length(config), 0.1, 1);
  Floats x = random.uniforms(5 * kDim, -1, 1), target = random.uniforms(5 * kDim, -1, 1);
  const Floats weights = {1, 2, weight, 0, 1}, rates = {0.1f, rate, 0.1f};
  Report reports[2] = {Report(0), Report(0)};
  for (int spoiled = 0; spoiled < 2; spoiled++) {
    if (spoiled) target[2 * kDim + 1] = spoiled_target;
    Pool& one = spoiled ? pool : other;
    one.write(slots, slabs, {1, 2, 3});
    lorakeet_update_batch batch = {};
    batch.users = 3;
    batch.slots = slots.data();
    batch.row_offsets = offsets.data();
    batch.x.vectors = x.data();
    batch.target.vectors = target.data();
    batch.row_weight = weights.data();
    batch.learning_rate = rates.data();
    reports[spoiled] = one.update(batch);
  }
  checks.expect(reports[1].flags[1] == flag, "%s: flags %u, expected %u", what, reports[1].flags[1], flag);
  Ids steps;
  const size_t length = slab_length(config);
  checks.equal(std::string(what) + ": left as it was", pool.read({0}, &steps),
               Floats(slabs.begin() + length, slabs.begin() + 2 * length));
  checks.expect(steps[0] == 2, "%s: step count left as it was", what);
  checks.equal(std::string(what) + ": the others", pool.read({2, 9}), other.read({2, 9}));
  checks.expect(reports[1].flags[0] == 0 && reports[1].flags[2] == 0 && reports[1].loss[2] == reports[0].loss[2],
                "%s: the others' reports", what);
  if (flag == LORAKEET_FLAG_NO_WEIGHT) {
    checks.expect(reports[1].loss[1] == 0 && reports[1].grad_norm[1] == 0, "%s: loss and norm are 0", what);
  }
}

void check_consolidate_not_finite(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = full_config();
  Pool pool(kernels, config);
  Random random(13);
  const Ids slots = {1, 2}, offsets = {0, 1, 2};
  const Floats slabs = random.uniforms(2 * slab_length(config), 0.1, 1);
  pool.write(slots, slabs, {0, 0});
  Floats x = random.uniforms(2 * kDim, -1, 1);
  x[kDim] = 1e30f;
  const lorakeet_consolidate_batch batch = {2, slots.data(), offsets.data(), {x.data(), nullptr}, 0.5};
  checks.expect(kernels.consolidate(pool.handle, &batch) == LORAKEET_NOT_FINITE, "a Fisher that overflows is refused");
  checks.equal("a refused consolidation changes no slot", pool.read(slots), slabs);
}

void check_items(const lorakeet_kernels& kernels, Checks& checks) {
  Pool pool(kernels, full_config());
  Random random(17);
  const Floats first = random.uniforms(4 * kDim, -1, 1), second = random.uniforms(9 * kDim, -1, 1);
  const Ids ids = {3, 0};
  pool.bind_items(first);
  const Floats y = pool.apply({0, 0}, {nullptr, ids.data()});
  checks.equal("rows by id", Floats(y.begin(), y.begin() + kDim), Floats(first.begin() + 3 * kDim, first.end()));
  pool.bind_items(second);
  const Floats z = pool.apply({0, 0}, {nullptr, ids.data()});
  checks.equal("a table bound again", Floats(z.begin() + kDim, z.end()), Floats(second.begin(), second.begin() + kDim));
  pool.bind_items({});
}

// A slot that stands twice would be a race between blocks; all who change slots refuse it and change nothing.
void check_duplicates(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = full_config();
  Pool pool(kernels, config);
  Random random(29);
  const Ids slots = {4, 7}, twice = {4, 7, 4}, steps = {1, 2, 3}, offsets = {0, 1, 2, 3};
  const Floats slabs = random.uniforms(3 * slab_length(config), 0.1, 1), rows = random.uniforms(3 * kDim, -1, 1);
  pool.write(slots, Floats(slabs.begin(), slabs.begin() + 2 * slab_length(config)), {1, 2});
  const Floats before = pool.read(slots);
  lorakeet_update_batch update = {};
  update.users = 3;
  update.slots = twice.data();
  update.row_offsets = offsets.data();
  update.x.vectors = update.target.vectors = rows.data();
  Report report(3);
  const lorakeet_update_report view = report.view();
  const lorakeet_consolidate_batch consolidate = {3, twice.data(), offsets.data(), {rows.data(), nullptr}, 0.5};
  checks.expect(kernels.update(pool.handle, &update, &view) == LORAKEET_DUPLICATE_SLOT, "a duplicate in update");
  checks.expect(kernels.consolidate(pool.handle, &consolidate) == LORAKEET_DUPLICATE_SLOT,
                "a duplicate in consolidate");
  checks.expect(kernels.write(pool.handle, twice.data(), 3, slabs.data(), steps.data()) == LORAKEET_DUPLICATE_SLOT,
                "a duplicate in write");
  const Ids from = {7, 7, 7}, to = {5, 6, 5};
  checks.expect(kernels.copy(pool.handle, from.data(), to.data(), 3) == LORAKEET_DUPLICATE_SLOT,
                "a duplicate among the targets of copy");
  checks.equal("duplicates change nothing", pool.read(slots), before);
  checks.expect(all_zero(pool.read({5, 6})), "duplicates change nothing in copy");
  update.users = 2;
  pool.update(update);
  pool.update(update);
  checks.expect(pool.apply(twice, {rows.data(), nullptr}).size() == 3 * kDim, "apply takes a slot any number of times");
}

// Copies of one large slot until the device is full.
void check_out_of_memory(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = plain_config(256, 8192, 8192, true, 40000);
  setenv("LORAKEET_CUDA_HOST_BYTES", "100000000", 1);
  Pool pool(kernels, config);
  unsetenv("LORAKEET_CUDA_HOST_BYTES");
  Random random(19);
  const Floats slab = random.uniforms(slab_length(config), -1, 1);
  pool.write({0}, slab, {3});
  const uint64_t before = kernels.memory_bytes(pool.handle);
  setenv("LORAKEET_SHIM_MEMORY_BYTES", "200000000", 1);
  Ids from(39999, 0), to;
  for (uint32_t slot = 1; slot < 40000; slot++) to.push_back(slot);
  checks.expect(kernels.copy(pool.handle, from.data(), to.data(), 39999) == LORAKEET_OUT_OF_MEMORY,
                "copying one slot to 39,999 (671 GB) runs out of memory");
  checks.expect(kernels.memory_bytes(pool.handle) == before, "what a failed copy took is given back");
  pool.must(kernels.copy(pool.handle, from.data(), to.data(), 2), "copy after running out of memory");
  Ids steps;
  checks.equal("a pool is usable after running out of memory", pool.read({2}, &steps), slab);
  checks.expect(steps[0] == 3, "steps after running out of memory");
  unsetenv("LORAKEET_SHIM_MEMORY_BYTES");
}

}  // namespace

void check_behaviour(const lorakeet_kernels& kernels, Checks& checks, bool small) {
  check_slots(kernels, checks);
  check_runs(kernels, checks);
  const lorakeet_pool_config full = full_config(), plain = plain_config(kRank, kDim, kDim, true, 10);
  check_spoiled(kernels, full, checks, "a target of NaN", LORAKEET_FLAG_REJECTED, NAN, 1, 0.1f);
  check_spoiled(kernels, full, checks, "a target of infinity", LORAKEET_FLAG_REJECTED, INFINITY, 1, 0.1f);
  check_spoiled(kernels, full, checks, "a gradient that overflows", LORAKEET_FLAG_REJECTED, 1e30f, 1, 0.1f);
  lorakeet_pool_config weak = plain;
  weak.scaling = 1e-4;  // keeps the gradient finite
  check_spoiled(kernels, weak, checks, "a loss that overflows", LORAKEET_FLAG_REJECTED, 1e20f, 1, 0.1f);
  check_spoiled(kernels, plain, checks, "weights that overflow", LORAKEET_FLAG_REJECTED, 1e3f, 1, 3e38f);
  check_spoiled(kernels, full, checks, "no weight", LORAKEET_FLAG_NO_WEIGHT, 1, 0, 0.1f);
  check_consolidate_not_finite(kernels, checks);
  check_items(kernels, checks);
  check_duplicates(kernels, checks);
  if (!small) check_out_of_memory(kernels, checks);
}
