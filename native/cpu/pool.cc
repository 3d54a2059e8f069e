#include "pool.h"

#include <new>

#include "memory.h"

namespace lorakeet {

SlotShape slot_shape(const lorakeet_pool_config& config) {
  SlotShape shape{};
  shape.rank = config.rank;
  shape.in_features = config.in_features;
  shape.out_features = config.out_features;
  shape.in_tiles = (config.in_features + kTile - 1) / kTile;
  shape.out_tiles = (config.out_features + kTile - 1) / kTile;
  shape.loraB = static_cast<size_t>(shape.rank) * kTile * shape.in_tiles;
  shape.section = shape.loraB + static_cast<size_t>(shape.rank) * kTile * shape.out_tiles;
  shape.sections = 1;
  if (config.ewc != LORAKEET_EWC_NONE) {
    shape.fisher = shape.section * shape.sections++;
    shape.anchor = shape.section * shape.sections++;
  }
  if (config.optimizer == LORAKEET_ADAMW) {
    shape.moment1 = shape.section * shape.sections++;
    shape.moment2 = shape.section * shape.sections++;
  }
  shape.floats = shape.section * shape.sections;
  return shape;
}

SlotStore::SlotStore(const SlotShape& shape, uint32_t capacity) : floats_(shape.floats), shift_(0) {
  // Segments of about 8 MB: large enough for huge pages, small enough that a pool of a few users stays small.
  constexpr size_t kSegmentBytes = size_t{8} << 20;
  while ((size_t{2} << shift_) * floats_ * sizeof(float) <= kSegmentBytes && (uint64_t{1} << shift_) < capacity) {
    shift_++;
  }
  mask_ = (1u << shift_) - 1;
}

SlotStore::~SlotStore() {
  for (const auto& page : pages_) {
    if (!page) continue;
    for (uint32_t i = 0; i < (1u << kPageBits); i++) {
      if (page[i].slots) free_pages(page[i].slots, segment_bytes());
    }
  }
}

void SlotStore::ensure(uint32_t slot) {
  const uint32_t index = slot >> shift_;
  const uint32_t page = index >> kPageBits;
  if (page >= pages_.size()) pages_.resize(page + 1);
  if (!pages_[page]) pages_[page] = std::make_unique<Segment[]>(1u << kPageBits);
  Segment& segment = pages_[page][index & ((1u << kPageBits) - 1)];
  if (segment.slots) return;
  auto records = std::make_unique<SlotRecord[]>(static_cast<size_t>(mask_) + 1);
  float* slots = static_cast<float*>(allocate_pages(segment_bytes()));
  if (!slots) throw std::bad_alloc();
  segment.slots = slots;
  segment.records = std::move(records);
  bytes_ += segment_bytes() + (static_cast<size_t>(mask_) + 1) * sizeof(SlotRecord);
}

}  // namespace lorakeet
