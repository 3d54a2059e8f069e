// Storage of a CPU pool: slots in segments that are allocated when one of their slots is first used.
#pragma once

#include <stdint.h>

#include <memory>
#include <vector>

#include "lorakeet/kernels.h"
#include "slot.h"

namespace lorakeet {

SlotShape slot_shape(const lorakeet_pool_config& config);

// What is known of a slot beside its numbers.
struct SlotRecord {
  uint32_t steps = 0;
  SlotBounds bounds = {};
};

struct Segment {
  float* slots = nullptr;
  std::unique_ptr<SlotRecord[]> records;
};

// Two levels, so that a pool of billions of mostly unused slots costs nothing: pages of segments, segments of slots.
class SlotStore {
 public:
  SlotStore(const SlotShape& shape, uint32_t capacity);
  ~SlotStore();

  // Makes sure that the slot has memory (zeroed); throws std::bad_alloc. All others expect that.
  void ensure(uint32_t slot);
  float* data(uint32_t slot) const { return segment(slot).slots + (slot & mask_) * floats_; }
  SlotRecord& record(uint32_t slot) const { return segment(slot).records[slot & mask_]; }
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr uint32_t kPageBits = 10;
  Segment& segment(uint32_t slot) const {
    const uint32_t index = slot >> shift_;
    return pages_[index >> kPageBits][index & ((1u << kPageBits) - 1)];
  }
  size_t segment_bytes() const { return (static_cast<size_t>(mask_) + 1) * floats_ * sizeof(float); }

  size_t floats_;
  uint32_t shift_, mask_;
  uint64_t bytes_ = 0;
  std::vector<std::unique_ptr<Segment[]>> pages_;
};

}  // namespace lorakeet
