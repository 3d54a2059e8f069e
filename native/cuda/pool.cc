#include "pool.h"

#include <algorithm>

#include "plan.h"
#include "settings.h"
#include "update_kernel.h"

using namespace lorakeet::cuda;

namespace {

// A piece of a batch is about this large: some hundred microseconds of transfer, so that lanes overlap, and far more
// than what starting it costs. A batch whose rows are ids is one piece up to some hundred thousand users.
constexpr uint64_t kPieceBytes = 16 << 20;
// For what take() adds to arrays of a piece to align them.
constexpr uint64_t kAlignmentBytes = 16 * Lane::kAlignment;
// Clusters that work in scratch memory share out this much of it at most; when one needs more than its part, fewer run
// at once.
constexpr uint64_t kScratchFloats = 64 << 20;

uint32_t rows_of(const uint32_t* offsets, uint32_t first, uint32_t count) {
  return offsets[first + count] - offsets[first];
}

}  // namespace

lorakeet_pool::lorakeet_pool(const lorakeet_pool_config& config)
    : model_(make_model(config)),
      layout_(model_),
      plan_(make_plan(model_, device_limits())),
      scratch_floats_(update_scratch_floats(model_, plan_)),
      learning_rate_(static_cast<float>(config.learning_rate)),
      max_grad_norm_(static_cast<float>(config.max_grad_norm)),
      ewc_lambda_(static_cast<float>(config.ewc_lambda)),
      table_(model_, config.capacity, device_budget(), host_budget()),
      lanes_{Lane(config.threads), Lane(config.threads)} {}

// ---- pieces

template <class Bytes>
std::vector<lorakeet_pool::Piece> lorakeet_pool::cut(uint32_t count, Bytes bytes) const {
  const uint32_t most = table_.paging() ? table_.frames() : UINT32_MAX;
  std::vector<Piece> pieces;
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t size = bytes(i);
    if (pieces.empty() || pieces.back().bytes + size > kPieceBytes || pieces.back().count == most) {
      pieces.push_back({i, 0, kAlignmentBytes});
    }
    pieces.back().count++;
    pieces.back().bytes += size;
  }
  return pieces;
}

template <class Run>
void lorakeet_pool::in_turn(const std::vector<Piece>& pieces, Run run) {
  uint64_t largest = 0;
  for (const Piece& piece : pieces) largest = std::max(largest, piece.bytes);
  for (size_t lane = 0; lane < std::min<size_t>(pieces.size(), 2); lane++) lanes_[lane].reserve(largest);
  try {
    for (size_t i = 0; i < pieces.size(); i++) {
      lanes_[i % 2].finish();
      if (table_.paging()) lanes_[(i + 1) % 2].finish();  // whose slots may have to go now
      run(lanes_[i % 2], pieces[i]);
    }
    for (size_t i = pieces.size(); i < pieces.size() + 2; i++) lanes_[i % 2].finish();
  } catch (...) {
    for (Lane& lane : lanes_) lane.abandon();
    throw;
  }
}

uint64_t lorakeet_pool::row_bytes(const lorakeet_rows& rows, uint32_t features) const {
  return rows.ids ? sizeof(uint32_t) : quads(features) * kQuad * sizeof(float);
}

Rows lorakeet_pool::put_rows(Lane& lane, const lorakeet_rows& rows, uint32_t first, uint32_t count,
                             uint32_t features) const {
  const uint32_t pitch = quads(features) * kQuad;
  if (rows.ids) return {reinterpret_cast<const float*>(items_.memory()), lane.put(rows.ids + first, count), pitch};
  return {lane.put_rows(rows.vectors + static_cast<uint64_t>(first) * features, count, features, pitch), nullptr,
          pitch};
}

void** lorakeet_pool::put_frames(Lane& lane, const uint32_t* slots, uint32_t count, Use use) {
  const Lane::Both<void*> frames = lane.take<void*>(count);
  table_.resolve(slots, count, use, frames.host);
  return frames.device;
}

// ---- whole slots

void lorakeet_pool::write(const uint32_t* slots, uint32_t count, const float* slabs, const uint32_t* steps) {
  table_.begin();
  table_.need(slots, count, Use::kReplace);
  table_.reserve();
  const uint64_t floats = model_.slab_floats();
  const auto bytes = [&](uint32_t) { return floats * sizeof(float) + sizeof(void*) + sizeof(uint32_t); };
  in_turn(cut(count, bytes), [&](Lane& lane, Piece piece) {
    PackBatch batch = {model_, layout_, piece.count, 0, nullptr, nullptr, nullptr};
    batch.frames = put_frames(lane, slots + piece.first, piece.count, Use::kReplace);
    batch.slabs = const_cast<float*>(lane.put(slabs + piece.first * floats, piece.count * floats));
    batch.steps = const_cast<uint32_t*>(lane.put(steps + piece.first, piece.count));
    lane.send();
    lane.stream().launch(batch);
  });
}

void lorakeet_pool::read(const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps) {
  table_.begin();
  const uint64_t floats = model_.slab_floats();
  const auto bytes = [&](uint32_t) { return floats * sizeof(float) + sizeof(void*) + sizeof(uint32_t); };
  in_turn(cut(count, bytes), [&](Lane& lane, Piece piece) {
    const Lane::Both<void*> frames = lane.take<void*>(piece.count);
    table_.locate(slots + piece.first, piece.count, const_cast<const void**>(frames.host));
    lane.send();
    const Lane::Both<float> numbers = lane.take<float>(piece.count * floats);
    const Lane::Both<uint32_t> counts = lane.take<uint32_t>(piece.count);
    lane.stream().launch(PackBatch{model_, layout_, piece.count, 1, frames.device, numbers.device, counts.device});
    lane.receive([=, &lane] {
      const uint64_t size = piece.count * floats * sizeof(float), few = piece.count * sizeof(uint32_t);
      copy_rows(slabs + piece.first * floats, size, numbers.host, size, size, 1, lane.threads());
      copy_rows(steps + piece.first, few, counts.host, few, few, 1, 1);
    });
  });
}

void lorakeet_pool::copy(const uint32_t* from, const uint32_t* to, uint32_t count) {
  std::vector<uint32_t> sources, targets, emptied;
  for (uint32_t i = 0; i < count; i++) {
    if (!table_.holds(from[i])) {
      emptied.push_back(to[i]);
      continue;
    }
    sources.push_back(from[i]);
    targets.push_back(to[i]);
  }
  table_.begin();
  table_.need(targets.data(), static_cast<uint32_t>(targets.size()), Use::kReplace);
  table_.reserve();
  for (const Piece& piece : cut(static_cast<uint32_t>(targets.size()), [](uint32_t) { return sizeof(void*); })) {
    std::vector<void*> into(piece.count);
    std::vector<const void*> out_of(piece.count);
    table_.resolve(&targets[piece.first], piece.count, Use::kReplace, into.data());
    table_.locate(&sources[piece.first], piece.count, out_of.data());
    table_.move(out_of, into, layout_.bytes);
  }
  table_.clear(emptied.data(), static_cast<uint32_t>(emptied.size()));
}

void lorakeet_pool::bind_items(const float* matrix, uint32_t items) {
  table_.begin();
  const uint32_t features = model_.in_features, pitch = model_.in_pitch();
  Buffer<OnDevice> table;
  if (matrix) table.reserve(static_cast<uint64_t>(items) * pitch * sizeof(float));
  in_turn(cut(matrix ? items : 0, [&](uint32_t) { return pitch * sizeof(float); }), [&](Lane& lane, Piece piece) {
    const uint64_t bytes = static_cast<uint64_t>(piece.count) * pitch * sizeof(float);
    const Lane::Both<float> rows = lane.take<float>(static_cast<uint64_t>(piece.count) * pitch);
    copy_rows(rows.host, pitch * sizeof(float), matrix + static_cast<uint64_t>(piece.first) * features,
              features * sizeof(float), features * sizeof(float), piece.count, lane.threads());
    lane.stream().upload(table.memory() + static_cast<uint64_t>(piece.first) * pitch * sizeof(float), rows.host, bytes);
  });
  items_.swap(table);
}

// ---- apply

void lorakeet_pool::apply(const lorakeet_apply_batch& batch, float* y) {
  table_.begin();
  table_.need(batch.slots, batch.rows, Use::kRead);
  table_.reserve();
  const uint32_t out = model_.out_features, pitch = model_.out_pitch();
  const auto bytes = [&](uint32_t) {
    return sizeof(ApplyGroup) + row_bytes(batch.x, model_.in_features) + pitch * sizeof(float);
  };
  in_turn(cut(batch.rows, bytes), [&](Lane& lane, Piece piece) {
    // Consecutive rows of one slot go together.
    std::vector<uint32_t> slots;
    std::vector<ApplyGroup> groups;
    for (uint32_t i = 0; i < piece.count; i++) {
      const uint32_t slot = batch.slots[piece.first + i];
      if (groups.empty() || slots.back() != slot || groups.back().count == kChunk) {
        slots.push_back(slot);
        groups.push_back({nullptr, i, 0});
      }
      groups.back().count++;
    }
    std::vector<void*> frames(slots.size());
    table_.resolve(slots.data(), static_cast<uint32_t>(slots.size()), Use::kRead, frames.data());
    for (size_t i = 0; i < groups.size(); i++) groups[i].weights = static_cast<const float*>(frames[i]);

    ApplyBatch device = {};
    device.model = model_;
    device.groups = static_cast<uint32_t>(groups.size());
    device.group = lane.put(groups.data(), groups.size());
    device.x = put_rows(lane, batch.x, piece.first, piece.count, model_.in_features);
    lane.send();
    const Lane::Both<float> results = lane.take<float>(static_cast<uint64_t>(piece.count) * pitch);
    device.y = results.device;
    lane.stream().launch(device);
    lane.receive([=, &lane] {
      copy_rows(y + static_cast<uint64_t>(piece.first) * out, out * sizeof(float), results.host, pitch * sizeof(float),
                out * sizeof(float), piece.count, lane.threads());
    });
  });
}

// ---- update

uint32_t lorakeet_pool::clusters_for(uint32_t users, uint32_t chunk) {
  uint32_t& concurrent = concurrent_[chunk];
  if (concurrent == 0) concurrent = concurrent_clusters(model_, plan_, chunk);
  const uint64_t affordable = scratch_floats_ ? std::max<uint64_t>(kScratchFloats / scratch_floats_, 1) : UINT32_MAX;
  return static_cast<uint32_t>(std::min<uint64_t>({users, concurrent, affordable}));
}

// c_i = 2·w_i/(out·Σw) of the piece's rows; −1 where a user's weights are all zero.
const float* lorakeet_pool::put_coefficients(Lane& lane, const lorakeet_update_batch& batch, Piece piece) const {
  if (!batch.row_weight) return nullptr;
  const uint32_t first_row = batch.row_offsets[piece.first];
  const Lane::Both<float> coefficients = lane.take<float>(rows_of(batch.row_offsets, piece.first, piece.count));
  for (uint32_t user = piece.first; user < piece.first + piece.count; user++) {
    const uint32_t begin = batch.row_offsets[user], end = batch.row_offsets[user + 1];
    double sum = 0;
    for (uint32_t row = begin; row < end; row++) sum += batch.row_weight[row];
    for (uint32_t row = begin; row < end; row++) {
      coefficients.host[row - first_row] =
          sum > 0 ? static_cast<float>(2.0 * batch.row_weight[row] / (model_.out_features * sum)) : -1.0f;
    }
  }
  return coefficients.device;
}

void lorakeet_pool::update(const lorakeet_update_batch& batch, const lorakeet_update_report& report) {
  table_.begin();
  table_.need(batch.slots, batch.users, Use::kChange);
  const uint64_t scratch = scratch_floats_ * clusters_for(batch.users, kChunk) * sizeof(float);
  for (Buffer<OnDevice>& one : scratch_) one.reserve(scratch);
  table_.reserve();
  const uint64_t one_row = row_bytes(batch.x, model_.in_features) + row_bytes(batch.target, model_.out_features) +
                           (batch.row_weight ? sizeof(float) : 0);
  constexpr uint64_t kUser = sizeof(void*) + 5 * sizeof(float) + 2 * sizeof(uint32_t);
  in_turn(cut(batch.users, [&](uint32_t user) { return kUser + rows_of(batch.row_offsets, user, 1) * one_row; }),
          [&](Lane& lane, Piece piece) { update_piece(lane, piece, batch, report); });
}

void lorakeet_pool::update_piece(Lane& lane, Piece piece, const lorakeet_update_batch& batch,
                                 const lorakeet_update_report& report) {
  const uint32_t first = piece.first, count = piece.count, first_row = batch.row_offsets[first];
  const uint32_t rows = rows_of(batch.row_offsets, first, count);
  const auto of_users = [&](const float* values) { return lane.put(values ? values + first : nullptr, count); };
  UpdateBatch device = {};
  device.model = model_;
  device.layout = layout_;
  device.plan = plan_;
  for (uint32_t user = first; user < first + count; user++) {
    device.chunk = std::max(device.chunk, smaller(rows_of(batch.row_offsets, user, 1), kChunk));
  }
  device.users = count;
  device.frames = put_frames(lane, batch.slots + first, count, Use::kChange);
  device.row_offsets = lane.put(batch.row_offsets + first, count + 1ull);
  device.first_row = first_row;
  device.x = put_rows(lane, batch.x, first_row, rows, model_.in_features);
  device.target = put_rows(lane, batch.target, first_row, rows, model_.out_features);
  device.coefficient = put_coefficients(lane, batch, piece);
  device.learning_rate = of_users(batch.learning_rate);
  device.max_grad_norm = of_users(batch.max_grad_norm);
  device.ewc_lambda = of_users(batch.ewc_lambda);
  device.default_learning_rate = learning_rate_;
  device.default_max_grad_norm = max_grad_norm_;
  device.default_ewc_lambda = ewc_lambda_;
  device.scratch = reinterpret_cast<float*>(scratch_[&lane - lanes_].memory());
  lane.send();
  const Lane::Both<float> loss = lane.take<float>(count), grad_norm = lane.take<float>(count);
  const Lane::Both<uint32_t> flags = lane.take<uint32_t>(count);
  device.loss = loss.device;
  device.grad_norm = grad_norm.device;
  device.flags = flags.device;
  lane.stream().launch(device, clusters_for(count, device.chunk));
  lane.receive([=] {
    std::copy_n(loss.host, count, report.loss + first);
    std::copy_n(grad_norm.host, count, report.grad_norm + first);
    for (uint32_t user = 0; user < count; user++) report.flags[first + user] = static_cast<uint8_t>(flags.host[user]);
  });
}

// ---- consolidate

void lorakeet_pool::consolidate(const lorakeet_consolidate_batch& batch) {
  table_.begin();
  table_.need(batch.slots, batch.users, Use::kChange);
  table_.reserve();
  const uint64_t one_row = row_bytes(batch.x, model_.in_features);
  const std::vector<Piece> pieces = cut(batch.users, [&](uint32_t user) {
    return sizeof(void*) + 2 * sizeof(uint32_t) + rows_of(batch.row_offsets, user, 1) * one_row;
  });
  // Every piece is looked at before any is changed.
  bool bad = false;
  for (const bool commit : {false, true}) {
    in_turn(pieces, [&](Lane& lane, Piece piece) { consolidate_piece(lane, piece, batch, commit, &bad); });
    if (bad) throw Failure{LORAKEET_NOT_FINITE, "the Fisher of some slot would not be finite"};
  }
}

void lorakeet_pool::consolidate_piece(Lane& lane, Piece piece, const lorakeet_consolidate_batch& batch, bool commit,
                                      bool* bad) {
  const uint32_t first_row = batch.row_offsets[piece.first];
  ConsolidateBatch device = {};
  device.model = model_;
  device.layout = layout_;
  device.users = piece.count;
  device.frames = put_frames(lane, batch.slots + piece.first, piece.count, Use::kChange);
  device.row_offsets = lane.put(batch.row_offsets + piece.first, piece.count + 1ull);
  device.first_row = first_row;
  device.x =
      put_rows(lane, batch.x, first_row, rows_of(batch.row_offsets, piece.first, piece.count), model_.in_features);
  device.decay = static_cast<float>(batch.decay);
  device.commit = commit;
  lane.send();
  const Lane::Both<uint32_t> not_finite = lane.take<uint32_t>(piece.count);
  device.not_finite = not_finite.device;
  lane.stream().launch(device);
  if (commit) return;
  lane.receive([=] {
    *bad = *bad || std::any_of(not_finite.host, not_finite.host + piece.count, [](uint32_t flag) { return flag != 0; });
  });
}

uint64_t lorakeet_pool::memory_bytes() const {
  uint64_t bytes = table_.memory_bytes() + items_.bytes();
  for (const Lane& lane : lanes_) bytes += lane.memory_bytes();
  for (const Buffer<OnDevice>& scratch : scratch_) bytes += scratch.bytes();
  return bytes;
}
