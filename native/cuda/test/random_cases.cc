#include <stdlib.h>

#include <algorithm>

#include "checks.h"
#include "oracle.h"

namespace {

// The budgets of src/testing/budgets.ts.
constexpr double kApply = 1e-5, kUpdate = 1e-4, kReport = 1e-4, kFisher = 1e-4;
// What storing a weight in float may cost, against the largest weight.
constexpr double kRounding = 1.2e-7;
// And a Fisher, stochastically, or an anchor in bf16.
constexpr double kBf16Rounding = 0x1p-7;
constexpr uint32_t kItems = 37;

struct Shape {
  uint32_t rank, in, out;
  bool residual;
  std::vector<uint32_t> rows;  // of each user
};

// A batch that owns what it points to.
struct Batch {
  Ids slots, offsets, x_ids, target_ids;
  Floats items, x, target, weight, rate, bound, lambda;
  bool by_id, weighted;

  lorakeet_rows x_rows() const {
    return by_id ? lorakeet_rows{nullptr, x_ids.data()} : lorakeet_rows{x.data(), nullptr};
  }
  lorakeet_rows target_rows() const {
    return target_ids.empty() ? lorakeet_rows{target.data(), nullptr} : lorakeet_rows{nullptr, target_ids.data()};
  }
  lorakeet_update_batch update() const {
    return {static_cast<uint32_t>(slots.size()),
            slots.data(),
            offsets.data(),
            x_rows(),
            target_rows(),
            weighted ? weight.data() : nullptr,
            rate.data(),
            bound.data(),
            lambda.empty() ? nullptr : lambda.data()};
  }
  // User u alone, with everything that is given per row or per user moved along.
  lorakeet_update_batch only(uint32_t u, uint32_t* own_offsets, uint32_t in, uint32_t out) const {
    lorakeet_update_batch one = update();
    const size_t first = offsets[u];
    own_offsets[0] = 0;
    own_offsets[1] = offsets[u + 1] - offsets[u];
    one.users = 1;
    one.slots += u;
    one.row_offsets = own_offsets;
    if (one.x.ids) one.x.ids += first;
    if (one.x.vectors) one.x.vectors += first * in;
    if (one.target.ids) one.target.ids += first;
    if (one.target.vectors) one.target.vectors += first * out;
    if (one.row_weight) one.row_weight += first;
    one.learning_rate += u;
    one.max_grad_norm += u;
    if (one.ewc_lambda) one.ewc_lambda += u;
    return one;
  }
};

lorakeet_pool_config random_config(const Shape& shape, Random& random) {
  lorakeet_pool_config config = plain_config(shape.rank, shape.in, shape.out, shape.residual, 1000);
  config.scaling = random.uniform(0.25, 2);
  config.optimizer = random.below(2);
  config.ewc = random.below(3);
  if (config.ewc != LORAKEET_EWC_NONE) config.state_dtype = random.below(2) ? LORAKEET_BF16 : LORAKEET_FP32;
  config.weight_decay = random.below(2) ? 0.01 : 0;
  config.beta1 = 0.9;
  config.beta2 = 0.999;
  config.epsilon = 1e-8;
  return config;
}

Batch random_batch(const Shape& shape, const lorakeet_pool_config& config, Random& random) {
  const uint32_t users = static_cast<uint32_t>(shape.rows.size());
  Batch batch;
  batch.slots = random.distinct(users, config.capacity);
  batch.offsets = {0};
  for (const uint32_t rows : shape.rows) batch.offsets.push_back(batch.offsets.back() + rows);
  const uint32_t rows = batch.offsets.back();
  batch.by_id = random.below(2) == 1;
  batch.weighted = random.below(2) == 1;
  batch.items = random.uniforms(static_cast<size_t>(kItems) * shape.in, -1.5, 1.5);
  if (batch.by_id) {
    for (uint32_t i = 0; i < rows; i++) batch.x_ids.push_back(random.below(kItems));
    if (shape.in == shape.out) {
      for (uint32_t i = 0; i < rows; i++) batch.target_ids.push_back(random.below(kItems));
    }
  }
  batch.x = random.uniforms(static_cast<size_t>(rows) * shape.in, -1.5, 1.5);
  batch.target = random.uniforms(static_cast<size_t>(rows) * shape.out, -1.5, 1.5);
  batch.weight = random.uniforms(rows, 0, 2);
  for (uint32_t i = 0; i < rows; i += 3) batch.weight[i] = 0;
  batch.weight[rows - 1] = 1;  // so that the last user always learns; others with few rows may have no weight
  for (uint32_t u = 0; u < users; u++) {
    // Steps that are large enough to be seen in a float: a gradient of mean squared error shrinks with `out`.
    const double rate = config.optimizer == LORAKEET_ADAMW ? 0.02 : 0.02 * shape.out;
    batch.rate.push_back(static_cast<float>(rate * random.uniform(0.5, 1.5)));
    batch.bound.push_back(random.below(2) ? INFINITY : static_cast<float>(random.uniform(0.001, 0.5)));
    if (config.ewc != LORAKEET_EWC_NONE)
      batch.lambda.push_back(static_cast<float>(random.uniform(0, 1) / batch.rate[u]));
  }
  return batch;
}

// Random slabs; fisher and moment2 are not negative.
Floats random_slabs(const lorakeet_pool_config& config, uint32_t count, Random& random) {
  const size_t parameters = parameter_count(config), length = slab_length(config);
  const double spread = 1 / sqrt(static_cast<double>(std::max(config.rank, config.in_features)));
  Floats slabs;
  slabs.reserve(count * length);
  const auto add = [&](double low, double high) {
    const Floats section = random.uniforms(parameters, low, high);
    slabs.insert(slabs.end(), section.begin(), section.end());
  };
  for (uint32_t u = 0; u < count; u++) {
    add(-2 * spread, 2 * spread);
    if (config.ewc != LORAKEET_EWC_NONE) {
      add(0, 1);
      add(-2 * spread, 2 * spread);
    }
    if (config.optimizer == LORAKEET_ADAMW) {
      add(-0.01, 0.01);
      add(1e-5, 1e-3);
    }
  }
  return slabs;
}

OracleSlot oracle_slot(const Floats& slabs, size_t length, uint32_t index, uint32_t steps) {
  return {{slabs.begin() + index * length, slabs.begin() + (index + 1) * length}, steps};
}

std::vector<const float*> pointers(const Batch& batch, const Ids& ids, const Floats& vectors, uint32_t features,
                                   uint32_t user) {
  std::vector<const float*> rows;
  for (uint32_t i = batch.offsets[user]; i < batch.offsets[user + 1]; i++) {
    rows.push_back(ids.empty() ? &vectors[static_cast<size_t>(i) * features]
                               : &batch.items[static_cast<size_t>(ids[i]) * features]);
  }
  return rows;
}

// Every section of a slot after a step or a consolidation. The scale is the largest change of the section (for Fisher
// the largest value): a small step on large weights must be right in itself.
void compare_slab(Checks& checks, const std::string& name, const lorakeet_pool_config& config, const float* got,
                  const float* before, const OracleSlot& want, double budget, double rounding = kRounding) {
  const size_t parameters = parameter_count(config), sections = slab_length(config) / parameters;
  for (size_t section = 0; section < sections; section++) {
    const size_t start = section * parameters;
    double change = 0, size = 0;
    for (size_t p = start; p < start + parameters; p++) {
      change = std::max(change, fabs(want.slab[p] - before[p]));
      size = std::max({size, fabs(static_cast<double>(before[p])), fabs(want.slab[p])});
    }
    checks.near(name + " section " + std::to_string(section), got + start, &want.slab[start], parameters,
                budget * change + rounding * size);
  }
}

void compare_scalar(Checks& checks, const std::string& name, float got, double want) {
  checks.near(name, &got, &want, 1, kReport * fabs(want));
}

// The batch's rows with slots drawn at random, so that some come often.
void check_apply(Checks& checks, const std::string& name, Pool& pool, const Batch& batch, const Floats& slabs,
                 Random& random) {
  const lorakeet_pool_config& config = pool.config;
  const uint32_t users = static_cast<uint32_t>(batch.slots.size());
  std::vector<OracleSlot> states;
  for (uint32_t u = 0; u < users; u++) states.push_back(oracle_slot(slabs, slab_length(config), u, 0));
  Ids slots, who;
  for (uint32_t i = 0; i < batch.offsets.back(); i++) {
    who.push_back(random.below(users));
    slots.push_back(batch.slots[who[i]]);
  }
  const Floats y = pool.apply(slots, batch.x_rows());
  std::vector<double> want;
  for (uint32_t i = 0; i < slots.size(); i++) {
    const float* x = batch.by_id ? &batch.items[static_cast<size_t>(batch.x_ids[i]) * config.in_features]
                                 : &batch.x[static_cast<size_t>(i) * config.in_features];
    const std::vector<double> row = oracle_apply(config, states[who[i]], x);
    want.insert(want.end(), row.begin(), row.end());
  }
  checks.near(name + " apply", y.data(), want.data(), want.size(), kApply * largest(want.data(), want.size()));

  // Rows of one slot are worked on several at a time; each must come out as it does alone.
  const uint32_t rows = std::min(batch.offsets.back(), 21u), in = config.in_features, out = config.out_features;
  const Floats together = pool.apply(Ids(rows, batch.slots[0]), batch.x_rows());
  for (uint32_t i = 0; i < rows; i++) {
    lorakeet_rows row = batch.x_rows();
    if (row.ids) row.ids += i;
    if (row.vectors) row.vectors += static_cast<size_t>(i) * in;
    checks.equal(name + " apply, a row alone", pool.apply({batch.slots[0]}, row),
                 Floats(together.begin() + static_cast<size_t>(i) * out, together.begin() + (i + 1ull) * out));
  }
}

// What was written, as far as the pool keeps it: Fisher and anchor may be kept in bf16.
void check_read(Checks& checks, const std::string& name, const lorakeet_pool_config& config, const Floats& read,
                const Floats& written) {
  if (config.state_dtype == LORAKEET_FP32) return checks.equal(name + " read after write", read, written);
  const size_t parameters = parameter_count(config), length = slab_length(config);
  double worst = 0;
  for (size_t p = 0; p < written.size(); p++) {
    const size_t section = p % length / parameters;
    const bool narrow = section == 1 || section == 2;
    const double allowed = narrow ? fabs(written[p]) * 0x1p-8 : 0;
    worst = std::max(worst, fabs(static_cast<double>(read[p]) - written[p]) - allowed);
  }
  checks.expect(worst <= 0, "%s read after write in bf16: off by %g too much", name.c_str(), worst);
}

void run_case(const lorakeet_kernels& kernels, Checks& checks, const Shape& shape, uint64_t seed) {
  Random random(seed);
  const lorakeet_pool_config config = random_config(shape, random);
  const Batch batch = random_batch(shape, config, random);
  const uint32_t users = static_cast<uint32_t>(batch.slots.size());
  const size_t length = slab_length(config);
  const Floats written = random_slabs(config, users, random);
  Ids steps;
  for (uint32_t u = 0; u < users; u++) steps.push_back(random.below(50));
  char name[160];
  snprintf(name, sizeof(name), "seed %llu rank %u %u→%u%s opt %u ewc %u%s users %u rows %u", (unsigned long long)seed,
           config.rank, config.in_features, config.out_features, config.residual ? " residual" : "", config.optimizer,
           config.ewc, config.state_dtype == LORAKEET_BF16 ? " bf16" : "", users, batch.offsets.back());

  Pool pool(kernels, config);
  pool.bind_items(batch.items);
  pool.write(batch.slots, written, steps);
  Ids read_steps;
  const Floats slabs = pool.read(batch.slots, &read_steps);
  check_read(checks, name, config, slabs, written);
  checks.expect(read_steps == steps, "%s steps after write", name);
  check_apply(checks, name, pool, batch, slabs, random);

  // One step.
  const Report report = pool.update(batch.update());
  const Floats stepped = pool.read(batch.slots, &read_steps);
  for (uint32_t u = 0; u < users; u++) {
    const std::vector<const float*> x = pointers(batch, batch.x_ids, batch.x, config.in_features, u);
    const std::vector<const float*> t = pointers(batch, batch.target_ids, batch.target, config.out_features, u);
    std::vector<double> w(x.size(), 1);
    if (batch.weighted) w.assign(batch.weight.begin() + batch.offsets[u], batch.weight.begin() + batch.offsets[u + 1]);
    OracleSlot want = oracle_slot(slabs, length, u, steps[u]);
    const double lambda = batch.lambda.empty() ? 0 : batch.lambda[u];
    const OracleReport expected = oracle_update(config, want, x, t, w, {batch.rate[u], batch.bound[u], lambda});
    compare_scalar(checks, std::string(name) + " loss", report.loss[u], expected.loss);
    compare_scalar(checks, std::string(name) + " gradNorm", report.grad_norm[u], expected.grad_norm);
    checks.expect(report.flags[u] == expected.flags, "%s flags %u, expected %u", name, report.flags[u], expected.flags);
    checks.expect(read_steps[u] == want.steps, "%s steps %u, expected %u", name, read_steps[u], want.steps);
    compare_slab(checks, std::string(name) + " update", config, &stepped[u * length], &slabs[u * length], want,
                 kUpdate);
  }

  // The same again on another pool, one user at a time, last to first, and with independent calls reversed on the shim.
  setenv("LORAKEET_SHIM_REVERSED", "1", 1);
  Pool other(kernels, config);
  other.bind_items(batch.items);
  other.write(batch.slots, slabs, steps);
  for (uint32_t u = users; u-- > 0;) {
    uint32_t offsets[2];
    const Report alone = other.update(batch.only(u, offsets, config.in_features, config.out_features));
    checks.expect(alone.loss[0] == report.loss[u] && alone.grad_norm[0] == report.grad_norm[u],
                  "%s: the report depends on the company", name);
  }
  checks.equal(std::string(name) + " one by one", other.read(batch.slots), stepped);
  unsetenv("LORAKEET_SHIM_REVERSED");

  if (config.ewc == LORAKEET_EWC_NONE) return;
  const double decay = random.uniform(0, 1);
  const lorakeet_consolidate_batch task = {users, batch.slots.data(), batch.offsets.data(), batch.x_rows(), decay};
  pool.must(pool.table.consolidate(pool.handle, &task), "consolidate");
  const Floats consolidated = pool.read(batch.slots);
  for (uint32_t u = 0; u < users; u++) {
    OracleSlot want = oracle_slot(stepped, length, u, 0);
    oracle_consolidate(config, want, pointers(batch, batch.x_ids, batch.x, config.in_features, u), decay);
    compare_slab(checks, std::string(name) + " consolidate", config, &consolidated[u * length], &stepped[u * length],
                 want, kFisher, config.state_dtype == LORAKEET_BF16 ? kBf16Rounding : kRounding);
  }
  setenv("LORAKEET_SHIM_REVERSED", "1", 1);
  other.must(other.table.consolidate(other.handle, &task), "consolidate");
  checks.equal(std::string(name) + " consolidate again", other.read(batch.slots), consolidated);
  unsetenv("LORAKEET_SHIM_REVERSED");
}

Shape random_shape(Random& random) {
  static const uint32_t ranks[] = {1, 2, 3, 4, 5, 8, 13, 16, 31, 33, 64};
  static const uint32_t features[] = {1, 2, 7, 16, 31, 33, 64, 100, 127, 128, 129, 257, 384};
  Shape shape = {ranks[random.below(11)], features[random.below(13)], features[random.below(13)], false, {}};
  if (random.below(2)) {
    shape.out = shape.in;
    shape.residual = random.below(4) != 0;
  }
  for (uint32_t u = 1 + random.below(9); u > 0; u--) shape.rows.push_back(1 + random.below(u == 1 ? 70 : 20));
  return shape;
}

}  // namespace

void check_random_cases(const lorakeet_kernels& kernels, Checks& checks, bool small, uint32_t count) {
  std::vector<Shape> shapes = {
      {1, 1, 1, false, {1}},         {1, 1, 1, true, {1, 40}},    {64, 3, 5, false, {2, 16, 17}},
      {4, 64, 64, true, {1, 8, 33}}, {8, 128, 128, true, {1, 8}},
  };
  if (!small) {
    const std::vector<Shape> large = {
        {8, 384, 384, true, {1, 8, 64}}, {16, 768, 768, true, {1, 8, 64}},   {16, 1536, 1536, true, {1, 8, 64}},
        {4, 64, 64, true, {3, 5000, 1}}, {256, 33, 17, false, {1, 20}},      {256, 255, 257, false, {5, 3}},
        {5, 8192, 8192, true, {2, 19}},  {256, 8192, 3, false, {4}},         {256, 3, 8192, false, {4}},
        {256, 8192, 8192, true, {2}},    {3, 8191, 8190, false, {1, 1, 18}},
    };
    shapes.insert(shapes.end(), large.begin(), large.end());
  }
  Random random(2024);
  for (uint32_t i = 0; i < count; i++) shapes.push_back(random_shape(random));
  uint64_t seed = 1;
  for (const Shape& shape : shapes) run_case(kernels, checks, shape, seed++);
}
