#include <stdlib.h>
#include <string.h>

#include <memory>

#include "checks.h"

namespace {

constexpr uint32_t kSlots = 40;

lorakeet_pool_config paged_config(uint32_t rank, uint32_t dim, uint32_t optimizer, uint32_t ewc, uint32_t dtype) {
  lorakeet_pool_config config = plain_config(rank, dim, dim, true, kSlots);
  config.optimizer = optimizer;
  config.ewc = ewc;
  config.ewc_lambda = 0.5;
  config.state_dtype = dtype;
  config.beta1 = 0.9;
  config.beta2 = 0.999;
  config.epsilon = 1e-8;
  return config;
}

// A pool with room for about `frames` of its slots on the device.
struct Budget {
  Budget(const lorakeet_pool_config& config, uint32_t frames) {
    const uint64_t bytes = frames * (slab_length(config) * sizeof(float) + 256);
    setenv("LORAKEET_CUDA_DEVICE_BYTES", std::to_string(bytes).c_str(), 1);
  }
  ~Budget() { unsetenv("LORAKEET_CUDA_DEVICE_BYTES"); }
};

// The same random operation on both pools, whose results must be the same bit for bit.
class Twins {
 public:
  Twins(const lorakeet_kernels& kernels, const lorakeet_pool_config& config, Checks& checks, uint64_t seed)
      : kernels_(kernels), config_(config), checks_(checks), random_(seed), whole_(kernels, config) {
    const Budget budget(config, 5);
    paged_ = std::make_unique<Pool>(kernels, config);
  }

  void run(uint32_t operations) {
    for (uint32_t i = 0; i < operations; i++) {
      const uint32_t operation = random_.below(16);
      const Ids slots = random_.distinct(1 + random_.below(i % 4 == 0 ? kSlots - 1 : 4), kSlots);
      if (operation < 2) write(slots);
      if (operation >= 2 && operation < 9) update(slots);
      if (operation >= 9 && operation < 12) apply(slots);
      if (operation == 12) read(slots);
      if (operation == 13) copy(slots);
      if (operation == 14) both([&](Pool& pool) { pool.must(clear(pool, slots), "clear"); });
      if (operation == 15 && config_.ewc != LORAKEET_EWC_NONE) consolidate(slots);
    }
    Ids everybody;
    for (uint32_t slot = 0; slot < kSlots; slot++) everybody.push_back(slot);
    read(everybody);
  }

 private:
  template <class Operation>
  void both(Operation operation) {
    operation(whole_);
    operation(*paged_);
  }
  lorakeet_status clear(Pool& pool, const Ids& slots) {
    return kernels_.clear(pool.handle, slots.data(), static_cast<uint32_t>(slots.size()));
  }
  void write(const Ids& slots) {
    const Floats slabs = random_.uniforms(slots.size() * slab_length(config_), 0, 0.5);
    const Ids steps(slots.size(), random_.below(9));
    both([&](Pool& pool) { pool.write(slots, slabs, steps); });
  }
  void read(const Ids& slots) {
    Ids steps, paged_steps;
    const Floats slabs = whole_.read(slots, &steps);
    checks_.equal("paging: read", paged_->read(slots, &paged_steps), slabs);
    checks_.expect(paged_steps == steps, "paging: steps");
  }
  void apply(const Ids& slots) {
    Ids rows = slots;
    rows.insert(rows.end(), slots.begin(), slots.end());
    const Floats x = random_.uniforms(rows.size() * config_.in_features, -1, 1);
    checks_.equal("paging: apply", paged_->apply(rows, {x.data(), nullptr}), whole_.apply(rows, {x.data(), nullptr}));
  }
  void update(const Ids& slots) {
    Ids offsets = {0};
    for (size_t u = 0; u < slots.size(); u++) offsets.push_back(offsets.back() + 1 + random_.below(3));
    const Floats x = random_.uniforms(offsets.back() * static_cast<size_t>(config_.in_features), -1, 1);
    const Floats target = random_.uniforms(x.size(), -1, 1);
    lorakeet_update_batch batch = {};
    batch.users = static_cast<uint32_t>(slots.size());
    batch.slots = slots.data();
    batch.row_offsets = offsets.data();
    batch.x.vectors = x.data();
    batch.target.vectors = target.data();
    checks_.equal("paging: loss", paged_->update(batch).loss, whole_.update(batch).loss);
  }
  void copy(const Ids& slots) {
    const uint32_t count = static_cast<uint32_t>(slots.size() / 2);
    both([&](Pool& pool) { pool.must(kernels_.copy(pool.handle, slots.data(), slots.data() + count, count), "copy"); });
  }
  void consolidate(const Ids& slots) {
    Ids offsets = {0};
    for (size_t u = 0; u < slots.size(); u++) offsets.push_back(offsets.back() + 1);
    const Floats x = random_.uniforms(slots.size() * config_.in_features, -1, 1);
    const lorakeet_consolidate_batch batch = {
        static_cast<uint32_t>(slots.size()), slots.data(), offsets.data(), {x.data(), nullptr}, 0.9};
    both([&](Pool& pool) { pool.must(kernels_.consolidate(pool.handle, &batch), "consolidate"); });
  }

  const lorakeet_kernels& kernels_;
  const lorakeet_pool_config config_;
  Checks& checks_;
  Random random_;
  Pool whole_;
  std::unique_ptr<Pool> paged_;
};

}  // namespace

void check_paging(const lorakeet_kernels& kernels, Checks& checks, bool small) {
  const uint32_t operations = small ? 60 : 400;
  const auto run = [&](const lorakeet_pool_config& config, uint64_t seed) {
    Twins(kernels, config, checks, seed).run(operations);
  };
  run(paged_config(3, 20, LORAKEET_SGD, LORAKEET_EWC_PROXIMAL, LORAKEET_FP32), 31);
  run(paged_config(4, 33, LORAKEET_ADAMW, LORAKEET_EWC_GRADIENT, LORAKEET_BF16), 32);
  run(paged_config(2, 8, LORAKEET_ADAMW, LORAKEET_EWC_NONE, LORAKEET_FP32), 33);

  // A host that has no room either refuses, and what fits goes on working.
  const lorakeet_pool_config config = paged_config(4, 64, LORAKEET_SGD, LORAKEET_EWC_PROXIMAL, LORAKEET_FP32);
  const Budget budget(config, 5);
  setenv("LORAKEET_CUDA_HOST_BYTES", "0", 1);
  Pool pool(kernels, config);
  unsetenv("LORAKEET_CUDA_HOST_BYTES");
  Random random(34);
  const Floats slabs = random.uniforms(6 * slab_length(config), 0, 1);
  const Ids six = {1, 2, 3, 4, 5, 6}, steps = {0, 0, 0, 0, 0, 0};
  const uint64_t before = kernels.memory_bytes(pool.handle);
  checks.expect(kernels.write(pool.handle, six.data(), 6, slabs.data(), steps.data()) == LORAKEET_OUT_OF_MEMORY,
                "more slots than device and host have room for");
  checks.expect(kernels.memory_bytes(pool.handle) == before, "what a failed write took is given back");
  const Floats four(slabs.begin(), slabs.begin() + 4 * slab_length(config));
  pool.write({1, 2, 3, 4}, four, {0, 0, 0, 0});
  checks.equal("what fits", pool.read({1, 2, 3, 4}), four);
}

// More than fits one piece: rows as vectors, whole slots, an item table.
void check_pieces(const lorakeet_kernels& kernels, Checks& checks) {
  constexpr uint32_t kUsers = 3000, kDim = 1001;
  const lorakeet_pool_config config = plain_config(2, kDim, kDim, true, kUsers);
  Pool pool(kernels, config), other(kernels, config);
  Random random(41);
  const size_t length = slab_length(config);
  const Floats slabs = random.uniforms(kUsers * length, -0.05, 0.05), x = random.uniforms(kUsers * kDim, -1, 1),
               target = random.uniforms(kUsers * kDim, -1, 1);
  Ids slots, steps, offsets;
  for (uint32_t u = 0; u < kUsers; u++) {
    slots.push_back(kUsers - 1 - u);
    steps.push_back(u);
    offsets.push_back(u);
  }
  offsets.push_back(kUsers);
  pool.write(slots, slabs, steps);
  Ids got;
  checks.equal("pieces: write and read", pool.read(slots, &got), slabs);
  checks.expect(got == steps, "pieces: steps");
  for (Pool* one : {&pool, &other}) one->bind_items(x);
  other.write(slots, slabs, steps);
  lorakeet_update_batch batch = {};
  batch.users = kUsers;
  batch.slots = slots.data();
  batch.row_offsets = offsets.data();
  batch.x.ids = offsets.data();
  batch.target.vectors = target.data();
  const Report report = pool.update(batch);
  bool same = true;
  for (uint32_t u = 0; u < kUsers; u++) {
    const Ids own = {0, 1};
    lorakeet_update_batch alone = batch;
    alone.users = 1;
    alone.slots += u;
    alone.row_offsets = own.data();
    alone.x.ids += u;
    alone.target.vectors += static_cast<size_t>(u) * kDim;
    const Report one = other.update(alone);
    same = same && one.loss[0] == report.loss[u] && one.grad_norm[0] == report.grad_norm[u];
  }
  checks.expect(same, "pieces: reports");
  checks.equal("pieces: update", pool.read(slots), other.read(slots));
  const Floats y = pool.apply(slots, {x.data(), nullptr});
  checks.equal("pieces: apply", pool.apply(slots, {nullptr, offsets.data()}), y);
}

// The host shim makes one launch fail: a status, nothing changed, and the pool goes on.
void check_failed_launches(const lorakeet_kernels& kernels, Checks& checks) {
  const lorakeet_pool_config config = paged_config(3, 12, LORAKEET_ADAMW, LORAKEET_EWC_PROXIMAL, LORAKEET_FP32);
  Random random(51);
  const Ids slots = {0, 1, 2, 3}, fresh = {8, 9}, offsets = {0, 1, 2, 3, 4};
  const Floats slabs = random.uniforms(4 * slab_length(config), 0.1, 1), rows = random.uniforms(4 * 12, -1, 1);
  lorakeet_update_batch batch = {};
  batch.users = 4;
  batch.slots = slots.data();
  batch.row_offsets = offsets.data();
  batch.x.vectors = batch.target.vectors = rows.data();
  Report report(4);
  const lorakeet_update_report view = report.view();
  const lorakeet_consolidate_batch task = {4, slots.data(), offsets.data(), {rows.data(), nullptr}, 0.9};
  lorakeet_update_batch beginners = batch;
  beginners.users = 2;
  beginners.slots = fresh.data();
  Floats y(rows.size());
  const lorakeet_apply_batch applied = {4, slots.data(), {rows.data(), nullptr}};
  const Budget budget(config, 4);
  for (const char* number : {"1", "2", "3"}) {
    Pool pool(kernels, config);
    pool.write(slots, slabs, {1, 2, 3, 4});
    uint32_t failed = 0;
    const auto attempt = [&](const char* what, lorakeet_status (*operation)(Pool&, const void*), const void* argument) {
      setenv("LORAKEET_SHIM_FAIL_LAUNCH", number, 1);
      const lorakeet_status status = operation(pool, argument);
      unsetenv("LORAKEET_SHIM_FAIL_LAUNCH");
      pool.read({30});  // so that the shim notices that launches are no longer to fail
      checks.expect(status == LORAKEET_OK || status == LORAKEET_DEVICE_FAILURE, "%s, launch %s fails: status %d", what,
                    number, status);
      if (status == LORAKEET_OK) return;
      failed++;
      checks.equal(std::string(what) + " changes nothing when a launch fails", pool.read(slots), slabs);
    };
    struct Context {
      const lorakeet_apply_batch* batch;
      float* y;
    } context = {&applied, y.data()};
    attempt(
        "apply",
        [](Pool& one, const void* argument) {
          const Context& given = *static_cast<const Context*>(argument);
          return one.table.apply(one.handle, given.batch, given.y);
        },
        &context);
    struct Step {
      const lorakeet_update_batch* batch;
      const lorakeet_update_report* report;
    } step = {&beginners, &view};
    attempt(
        "an update that pages",
        [](Pool& one, const void* argument) {
          const Step& given = *static_cast<const Step*>(argument);
          return one.table.update(one.handle, given.batch, given.report);
        },
        &step);
    if (strcmp(number, "1") == 0) {
      attempt(
          "consolidate",
          [](Pool& one, const void* argument) {
            return one.table.consolidate(one.handle, static_cast<const lorakeet_consolidate_batch*>(argument));
          },
          &task);
    }
    checks.expect(failed > 0, "launch %s fails somewhere", number);
    pool.must(kernels.update(pool.handle, &batch, &view), "update after failed launches");
  }
}
