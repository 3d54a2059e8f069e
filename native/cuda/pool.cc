#include "pool.h"

#include <float.h>
#include <math.h>

#include <algorithm>

#include "apply_kernel.h"
#include "consolidate_kernel.h"
#include "update_kernel.h"

using namespace lorakeet::cuda;

namespace {

// Blocks share out this much scratch memory at most; when one needs more than its part, fewer run at once.
constexpr uint64_t kScratchFloats = 64 << 20;

Model make_model(const lorakeet_pool_config& config) {
  Model model = {};
  model.rank = config.rank;
  model.in_features = config.in_features;
  model.out_features = config.out_features;
  model.residual = config.residual;
  model.adamw = config.optimizer == LORAKEET_ADAMW;
  model.ewc = config.ewc;
  model.scaling = static_cast<float>(config.scaling);
  model.weight_decay = static_cast<float>(config.weight_decay);
  if (model.adamw) {
    model.epsilon = std::max(static_cast<float>(config.epsilon), FLT_MIN);
    model.beta1 = static_cast<float>(config.beta1);
    model.beta2 = static_cast<float>(config.beta2);
    model.beta1_rest = static_cast<float>(1 - config.beta1);
    model.beta2_rest = static_cast<float>(1 - config.beta2);
    model.log_beta1 = static_cast<float>(log(config.beta1));
    model.log_beta2 = static_cast<float>(log(config.beta2));
  }
  return model;
}

// weights, then fisher and anchor with EWC, then the two moments with AdamW
uint64_t slab_floats(const Model& model) {
  const uint64_t sections = 1 + (model.ewc == LORAKEET_EWC_NONE ? 0 : 2) + (model.adamw ? 2 : 0);
  return sections * model.parameters();
}

}  // namespace

lorakeet_pool::lorakeet_pool(const lorakeet_pool_config& config)
    : model_(make_model(config)),
      learning_rate_(static_cast<float>(config.learning_rate)),
      max_grad_norm_(static_cast<float>(config.max_grad_norm)),
      ewc_lambda_(static_cast<float>(config.ewc_lambda)),
      slots_(model_.parameters(), slab_floats(model_), config.capacity, stream_) {}

template <class T>
const T* lorakeet_pool::stage(Buffer& buffer, const T* host, uint64_t count) {
  if (!host) return nullptr;
  T* device = buffer.reserve<T>(count);
  stream_.upload(device, host, count * sizeof(T));
  return device;
}

Rows lorakeet_pool::stage_rows(Buffer& buffer, const lorakeet_rows& rows, uint32_t count, uint32_t features) {
  if (rows.ids) return {static_cast<const float*>(items_.memory()), stage(buffer, rows.ids, count), features};
  return {stage(buffer, rows.vectors, static_cast<uint64_t>(count) * features), nullptr, features};
}

uint32_t lorakeet_pool::grid(uint32_t count, uint64_t scratch) {
  const uint64_t affordable = scratch ? std::max<uint64_t>(kScratchFloats / scratch, 1) : UINT32_MAX;
  return static_cast<uint32_t>(std::min<uint64_t>({count, concurrent_blocks(), affordable}));
}

void lorakeet_pool::bind_items(const float* matrix, uint32_t items) {
  Buffer table;
  if (matrix) stage(table, matrix, static_cast<uint64_t>(items) * model_.in_features);
  stream_.synchronize();
  items_.swap(table);
}

void lorakeet_pool::apply(const lorakeet_apply_batch& batch, float* y) {
  if (batch.rows == 0) return;
  const uint64_t outputs = static_cast<uint64_t>(batch.rows) * model_.out_features;
  ApplyBatch device = {};
  device.model = model_;
  device.rows = batch.rows;
  const std::vector<Slot> slots = slots_.resolve(batch.slots, batch.rows);
  device.slots = stage(slot_list_, slots.data(), batch.rows);
  device.x = stage_rows(x_, batch.x, batch.rows, model_.in_features);
  device.y = y_.reserve<float>(outputs);
  stream_.launch(device, grid(batch.rows, 0));
  stream_.download(y, device.y, outputs * sizeof(float));
  stream_.synchronize();
}

void lorakeet_pool::update(const lorakeet_update_batch& batch, const lorakeet_update_report& report) {
  const uint32_t users = batch.users;
  if (users == 0) return;
  const uint32_t rows = batch.row_offsets[users];
  slots_.claim(batch.slots, users);
  UpdateBatch device = {};
  device.model = model_;
  device.users = users;
  const std::vector<Slot> slots = slots_.resolve(batch.slots, users);
  device.slots = stage(slot_list_, slots.data(), users);
  device.row_offsets = stage(row_offsets_, batch.row_offsets, users + 1ull);
  device.x = stage_rows(x_, batch.x, rows, model_.in_features);
  device.target = stage_rows(target_, batch.target, rows, model_.out_features);
  device.row_weight = stage(row_weight_, batch.row_weight, rows);
  device.learning_rate = stage(rates_, batch.learning_rate, users);
  device.max_grad_norm = stage(bounds_, batch.max_grad_norm, users);
  device.ewc_lambda = stage(lambdas_, batch.ewc_lambda, users);
  device.default_learning_rate = learning_rate_;
  device.default_max_grad_norm = max_grad_norm_;
  device.default_ewc_lambda = ewc_lambda_;
  device.loss = loss_.reserve<float>(users);
  device.grad_norm = grad_norm_.reserve<float>(users);
  device.flags = flags_.reserve<uint32_t>(users);
  const uint64_t scratch = update_scratch_floats(model_);
  const uint32_t blocks = grid(users, scratch);
  device.scratch = scratch_.reserve<float>(blocks * scratch);
  std::vector<uint32_t> flags(users);
  stream_.launch(device, blocks);
  stream_.download(report.loss, device.loss, users * sizeof(float));
  stream_.download(report.grad_norm, device.grad_norm, users * sizeof(float));
  stream_.download(flags.data(), device.flags, users * sizeof(uint32_t));
  stream_.synchronize();
  for (uint32_t user = 0; user < users; user++) report.flags[user] = static_cast<uint8_t>(flags[user]);
}

void lorakeet_pool::consolidate(const lorakeet_consolidate_batch& batch) {
  const uint32_t users = batch.users;
  if (users == 0) return;
  slots_.claim(batch.slots, users);
  ConsolidateBatch device = {};
  device.model = model_;
  device.users = users;
  const std::vector<Slot> slots = slots_.resolve(batch.slots, users);
  device.slots = stage(slot_list_, slots.data(), users);
  device.row_offsets = stage(row_offsets_, batch.row_offsets, users + 1ull);
  device.x = stage_rows(x_, batch.x, batch.row_offsets[users], model_.in_features);
  device.decay = static_cast<float>(batch.decay);
  device.not_finite = flags_.reserve<uint32_t>(users);
  const uint64_t scratch = consolidate_scratch_floats(model_);
  const uint32_t blocks = grid(users, scratch);
  device.scratch = scratch_.reserve<float>(blocks * scratch);
  std::vector<uint32_t> not_finite(users);
  stream_.launch(device, blocks);
  stream_.download(not_finite.data(), device.not_finite, users * sizeof(uint32_t));
  stream_.synchronize();
  if (std::count(not_finite.begin(), not_finite.end(), 0u) != users) throw Failure{LORAKEET_NOT_FINITE};
  device.commit = 1;
  stream_.launch(device, blocks);
  stream_.synchronize();
}

uint64_t lorakeet_pool::memory_bytes() const {
  uint64_t bytes = slots_.memory_bytes();
  for (const Buffer* buffer : {&items_, &slot_list_, &row_offsets_, &x_, &target_, &row_weight_, &rates_, &bounds_,
                               &lambdas_, &y_, &loss_, &grad_norm_, &flags_, &scratch_}) {
    bytes += buffer->bytes();
  }
  return bytes;
}
