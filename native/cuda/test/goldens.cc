#include <stdlib.h>

#include <algorithm>
#include <fstream>

#include "checks.h"

namespace {

// The budgets of src/testing/budgets.ts; `steps` where the rounding of several steps has added up.
constexpr double kApply = 1e-5, kUpdate = 1e-4, kReport = 1e-4, kFisher = 1e-4, kSteps = 1e-3;

using Doubles = std::vector<double>;

struct GoldenUpdate {
  Doubles x, target, row_weight;
  double loss, grad_norm;
  uint32_t clipped;
};

struct Golden {
  std::string name;
  lorakeet_pool_config config;
  Doubles weights, fisher, anchor, apply_x, apply_y, consolidate_x, consolidate_fisher;
  double decay;
  std::vector<GoldenUpdate> updates;
  Doubles new_weights, new_moment1, new_moment2;
};

// Words and numbers in the order of test/golden/flatten-kernels.mjs.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path) {}

  bool good() const { return !file_.fail(); }
  std::string word() {
    std::string value;
    file_ >> value;
    return value;
  }
  double number() { return strtod(word().c_str(), nullptr); }  // >> does not read "inf"
  uint32_t count() { return static_cast<uint32_t>(number()); }
  Doubles array() {
    Doubles values(count());
    for (double& value : values) value = number();
    return values;
  }
  Golden golden();

 private:
  std::ifstream file_;
};

Golden Reader::golden() {
  Golden golden = {};
  word();  // case
  golden.name = word();
  const uint32_t rank = count(), in = count(), out = count(), residual = count();
  golden.config = plain_config(rank, in, out, residual, 4);
  golden.config.optimizer = count();
  golden.config.ewc = count();
  golden.config.scaling = number();
  golden.config.learning_rate = number();
  golden.config.max_grad_norm = number();
  golden.config.ewc_lambda = number();
  golden.config.beta1 = number();
  golden.config.beta2 = number();
  golden.config.epsilon = number();
  golden.config.weight_decay = number();
  golden.weights = array();
  golden.fisher = array();
  golden.anchor = array();
  golden.apply_x = array();
  golden.apply_y = array();
  golden.consolidate_x = array();
  golden.consolidate_fisher = array();
  golden.decay = number();
  golden.updates.resize(count());
  for (GoldenUpdate& update : golden.updates) {
    update.x = array();
    update.target = array();
    update.row_weight = array();
    update.loss = number();
    update.grad_norm = number();
    update.clipped = count();
  }
  golden.new_weights = array();
  golden.new_moment1 = array();
  golden.new_moment2 = array();
  return golden;
}

Floats floats(const Doubles& values) { return {values.begin(), values.end()}; }

// The golden's state in slot 2; sections that it does not name are zero. Returns the slab.
Floats restore(Pool& pool, const Golden& golden) {
  Floats slab;
  for (const Doubles* section : {&golden.weights, &golden.fisher, &golden.anchor}) {
    slab.insert(slab.end(), section->begin(), section->end());
  }
  slab.resize(slab_length(pool.config));
  pool.write({2}, slab, {0});
  return slab;
}

void check_section(Checks& checks, const std::string& what, const float* got, const float* before, const Doubles& want,
                   double budget) {
  double change = 0;
  for (size_t p = 0; p < want.size(); p++) change = std::max(change, fabs(want[p] - before[p]));
  checks.near(what, got, want.data(), want.size(), budget * change);
}

void check_golden(const lorakeet_kernels& kernels, Checks& checks, const Golden& golden) {
  const std::string name = "golden " + golden.name;
  const size_t parameters = parameter_count(golden.config);
  Pool pool(kernels, golden.config);
  restore(pool, golden);
  const Floats apply_x = floats(golden.apply_x);
  const Floats y = pool.apply(Ids(apply_x.size() / pool.config.in_features, 2), {apply_x.data(), nullptr});
  checks.near(name + " apply", y.data(), golden.apply_y.data(), y.size(),
              kApply * largest(golden.apply_y.data(), y.size()));

  const Ids slot = {2};
  if (!golden.consolidate_x.empty()) {
    const Floats x = floats(golden.consolidate_x);
    const Ids offsets = {0, static_cast<uint32_t>(x.size() / pool.config.in_features)};
    const lorakeet_consolidate_batch batch = {1, slot.data(), offsets.data(), {x.data(), nullptr}, golden.decay};
    pool.must(kernels.consolidate(pool.handle, &batch), "consolidate");
    const Floats slab = pool.read(slot);
    // loraA and loraB apart: their Fisher may differ by magnitudes
    const size_t split = static_cast<size_t>(pool.config.rank) * pool.config.in_features;
    const double *a = golden.consolidate_fisher.data(), *b = a + split;
    checks.near(name + " Fisher of A", &slab[parameters], a, split, kFisher * largest(a, split));
    checks.near(name + " Fisher of B", &slab[parameters + split], b, parameters - split,
                kFisher * largest(b, parameters - split));
    checks.equal(name + " anchor", Floats(slab.begin() + 2 * parameters, slab.begin() + 3 * parameters),
                 floats(golden.weights));
  }

  const Floats before = restore(pool, golden);
  for (const GoldenUpdate& update : golden.updates) {
    const Floats x = floats(update.x), target = floats(update.target), weight = floats(update.row_weight);
    const Ids offsets = {0, static_cast<uint32_t>(x.size() / pool.config.in_features)};
    lorakeet_update_batch batch = {};
    batch.users = 1;
    batch.slots = slot.data();
    batch.row_offsets = offsets.data();
    batch.x.vectors = x.data();
    batch.target.vectors = target.data();
    batch.row_weight = weight.empty() ? nullptr : weight.data();
    const Report report = pool.update(batch);
    const double budget = &update == &golden.updates.front() ? kReport : kSteps;
    checks.near(name + " loss", report.loss.data(), &update.loss, 1, budget * update.loss);
    checks.near(name + " gradNorm", report.grad_norm.data(), &update.grad_norm, 1, budget * update.grad_norm);
    checks.expect(report.flags[0] == (update.clipped ? LORAKEET_FLAG_CLIPPED : 0), "%s flags", name.c_str());
  }
  Ids steps;
  const Floats slab = pool.read(slot, &steps);
  const double budget = golden.updates.size() == 1 ? kUpdate : kSteps;
  const size_t moments = slab.size() - 2 * parameters;
  checks.expect(steps[0] == golden.updates.size(), "%s steps", name.c_str());
  check_section(checks, name + " weights", &slab[0], &before[0], golden.new_weights, budget);
  if (golden.new_moment1.empty()) return;
  check_section(checks, name + " moment1", &slab[moments], &before[moments], golden.new_moment1, budget);
  check_section(checks, name + " moment2", &slab[moments + parameters], &before[moments + parameters],
                golden.new_moment2, budget);
}

}  // namespace

void check_goldens(const lorakeet_kernels& kernels, Checks& checks, const std::string& path) {
  Reader reader(path);
  const uint32_t cases = reader.count();
  for (uint32_t i = 0; i < cases; i++) {
    const Golden golden = reader.golden();
    if (!reader.good()) break;
    check_golden(kernels, checks, golden);
  }
  checks.expect(cases > 0 && reader.good(), "%s holds %u goldens that can be read", path.c_str(), cases);
}
