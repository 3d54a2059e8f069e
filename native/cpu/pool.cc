#include "pool.h"

#include <algorithm>

namespace lorakeet {

namespace {

constexpr size_t kLine = 64;  // bytes of a cache line

}  // namespace

SlotShape slot_shape(const lorakeet_pool_config& config) {
  SlotShape shape{};
  shape.rank = config.rank;
  shape.in_features = config.in_features;
  shape.out_features = config.out_features;
  shape.in_tiles = (config.in_features + kTile - 1) / kTile;
  shape.out_tiles = (config.out_features + kTile - 1) / kTile;
  shape.loraB = static_cast<size_t>(shape.rank) * kTile * shape.in_tiles;
  shape.section = shape.loraB + static_cast<size_t>(shape.rank) * kTile * shape.out_tiles;
  shape.bf16 = config.state_dtype == LORAKEET_BF16;
  shape.ewc = config.ewc != LORAKEET_EWC_NONE;
  shape.moments = config.optimizer == LORAKEET_ADAMW;
  if (shape.moments) {
    shape.moment1 = shape.state_bytes;
    shape.moment2 = shape.moment1 + shape.section * sizeof(float);
    shape.state_bytes = shape.moment2 + shape.section * sizeof(float);
  }
  if (shape.ewc) {
    const size_t bytes = shape.section * (shape.bf16 ? sizeof(Bf16) : sizeof(float));
    shape.fisher = shape.state_bytes;
    shape.anchor = shape.fisher + bytes;
    shape.state_bytes = (shape.anchor + bytes + kLine - 1) / kLine * kLine;
  }
  return shape;
}

SlotStore::SlotStore(const SlotShape& shape, uint32_t capacity)
    : section_(shape.section), state_bytes_(shape.state_bytes), capacity_(capacity) {
  // Reserved addresses, not memory; large enough for the part that does not fill a huge page to be a small one.
  constexpr size_t kSegmentBytes = size_t{64} << 20;
  while ((size_t{2} << shift_) * slot_bytes() <= kSegmentBytes && (uint64_t{1} << shift_) < capacity) shift_++;
  mask_ = (1u << shift_) - 1;
}

void SlotStore::ensure(uint32_t slot) {
  const uint32_t index = slot >> shift_, page = index >> kPageBits;
  const uint32_t segments = ((capacity_ - 1) >> shift_) + 1;
  if (page >= pages_.size()) pages_.resize(page + 1);
  if (!pages_[page]) {
    const uint32_t count = std::min(1u << kPageBits, segments - (page << kPageBits));
    pages_[page] = std::make_unique<Segment[]>(count);
    bytes_ += count * sizeof(Segment);
  }
  Segment& own = segment(slot);
  const uint32_t used = (slot & mask_) + 1;
  if (used <= own.used) return;
  if (own.used == 0) {
    const size_t slots = std::min(mask_ + 1, capacity_ - (index << shift_));
    LazyBlock weights(slots * section_ * sizeof(float)), state(slots * state_bytes_);
    own.records = LazyBlock(slots * sizeof(SlotRecord));
    own.weights = std::move(weights);
    own.state = std::move(state);
  }
  own.weights.use(used * section_ * sizeof(float));
  own.state.use(used * state_bytes_);
  own.records.use(used * sizeof(SlotRecord));
  bytes_ += (used - own.used) * slot_bytes();
  own.used = used;
}

}  // namespace lorakeet
