// Which slots one core has worked on so lately that they are still in its second-level cache.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace lorakeet {

// Fetching a slot ahead hides the way to memory, but for a slot that is in the cache it only takes up the queues there
// (half as long again for an apply). Remembers the last use of slots in a small table where a later slot may take
// another's place; a wrong guess costs time and never changes a result.
class RecentSlots {
 public:
  bool near(uint32_t slot) const {
    const Use& use = uses_[slot % kUses];
    return use.slot == slot && clock_ - use.clock < kept_lines();
  }
  // Work on this slot has moved so many bytes.
  void touch(uint32_t slot, size_t bytes) {
    clock_ += static_cast<uint32_t>(bytes / kLine);
    uses_[slot % kUses] = {slot, clock_};
  }

 private:
  static constexpr uint32_t kUses = 1024, kLine = 64;
  struct Use {
    uint32_t slot, clock;
  };

  // Three quarters of the cache: the rest is for what is not counted.
  static uint32_t kept_lines() {
    static const uint32_t lines = [] {
      long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
      bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
      if (bytes <= 0) bytes = 1 << 20;
      return static_cast<uint32_t>(bytes / 4 * 3 / kLine);
    }();
    return lines;
  }

  Use uses_[kUses] = {};
  uint32_t clock_ = 1u << 31;  // lines moved so far, from a start that makes nothing look recent
};

}  // namespace lorakeet
