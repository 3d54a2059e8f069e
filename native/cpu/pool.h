// Storage of a CPU pool: slots in segments that are reserved when one of their slots is first used.
#pragma once

#include <stdint.h>

#include <memory>
#include <vector>

#include "lorakeet/kernels.h"
#include "memory.h"
#include "slot.h"

namespace lorakeet {

SlotShape slot_shape(const lorakeet_pool_config& config);

// What is known of a slot beside its numbers. All zero, as fresh memory is, for a slot that is all zeros.
struct SlotRecord {
  uint32_t steps, consolidations;
  SlotBounds bounds;
};

// Neighbouring slots, each kind of their data in a block of its own: apply then streams through weights alone, and the
// record of a slot shares its cache line with those of its neighbours.
struct Segment {
  LazyBlock weights, state, records;
  uint32_t used = 0;  // slots up to the last one in use
};

// Two levels, so that a pool of billions of mostly unused slots costs nothing: pages of segments, segments of slots.
class SlotStore {
 public:
  SlotStore(const SlotShape& shape, uint32_t capacity);

  // Makes sure that the slot has memory (zeroed); throws std::bad_alloc. All others expect that.
  void ensure(uint32_t slot);
  SlotData data(uint32_t slot) const {
    const Segment& own = segment(slot);
    const size_t at = slot & mask_;
    return {own.weights.floats() + at * section_, own.state.data() + at * state_bytes_};
  }
  SlotRecord& record(uint32_t slot) const {
    return reinterpret_cast<SlotRecord*>(segment(slot).records.data())[slot & mask_];
  }
  // What slots in use can touch, with those of lower numbers in their segments, and what finds them.
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr uint32_t kPageBits = 10;
  Segment& segment(uint32_t slot) const {
    const uint32_t index = slot >> shift_;
    return pages_[index >> kPageBits][index & ((1u << kPageBits) - 1)];
  }
  size_t slot_bytes() const { return section_ * sizeof(float) + state_bytes_ + sizeof(SlotRecord); }

  size_t section_, state_bytes_;
  uint32_t capacity_, shift_ = 0, mask_;
  uint64_t bytes_ = 0;
  std::vector<std::unique_ptr<Segment[]>> pages_;
};

}  // namespace lorakeet
