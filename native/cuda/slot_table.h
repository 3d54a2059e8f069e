// Where every slot of a pool is: in a frame on the device, in one on the host, in both, or nowhere, which means zeros.
//
// A pool larger than its share of the device keeps the slots that were used least recently in pinned host memory. Every
// slot carries the tick in which it was last used; when frames run out, those with the oldest ticks give theirs up. A
// slot that has not changed since it came from the host (its dirty bit is clear) goes back without being copied.
//
// Kernels reach pinned host memory too, so moving a slot is one kernel that reads here and writes there, whole frames
// at a time, as many in one launch as a call needs.
#pragma once

#include "memory.h"

namespace lorakeet::cuda {

class SlotTable {
 public:
  // What a call wants with slots: to read them; to change them; or to overwrite them whole.
  enum class Use { kRead, kChange, kReplace };

  // `device_bytes`, `host_bytes`: the most that frames may take, at least one frame on the device.
  SlotTable(const Model& model, uint32_t capacity, uint64_t device_bytes, uint64_t host_bytes);

  // Every call first says what it needs: begin, need for its lists of slots, reserve; then it may resolve them, piece
  // by piece if it must. need() throws LORAKEET_DUPLICATE_SLOT, unless for reading, and reserve()
  // LORAKEET_OUT_OF_MEMORY; nothing has changed then, and after reserve() memory cannot run out.
  void begin();
  void need(const uint32_t* slots, uint32_t count, Use use);
  void reserve();
  // Whether slots will have to move while the call runs. Then at most frames() can be resolved at a time, and only when
  // nothing that was resolved before is in use any more.
  bool paging() const { return paging_; }
  uint32_t frames() const { return device_.frames(); }

  // The device memory of the slots, in order; a slot that holds nothing gets zeros: of its own unless for reading.
  void resolve(const uint32_t* slots, uint32_t count, Use use, void** memory);
  // Where the slots are at present, be it on the host; shared zeros for those that hold nothing. To be read only.
  void locate(const uint32_t* slots, uint32_t count, const void** memory) const;
  bool holds(uint32_t slot) const;
  // Makes the slots hold nothing; O(1) each.
  void clear(const uint32_t* slots, uint32_t count);

  // Copies whole frames, from null: zeros; has finished when it returns.
  void move(const std::vector<const void*>& from, const std::vector<void*>& to, uint64_t bytes);

  uint64_t memory_bytes() const { return device_.bytes() + host_.bytes() + zeros_.bytes() + lists_.bytes(); }

 private:
  static constexpr uint32_t kPage = 4096;

  struct Entry {
    uint32_t frame = kNoFrame, host = kNoFrame;
    uint64_t used = 0;  // the tick in which it was last resolved
    uint64_t call = 0;  // the last call that named it
    bool dirty = false;
  };
  struct Victim {
    uint64_t used;
    uint32_t frame;
  };

  void reserve_host();
  Entry* find(uint32_t slot) const;
  Entry& entry(uint32_t slot);
  void bring(const std::vector<uint32_t>& slots, Use use);
  void evict(uint32_t count);
  uint32_t next_victim(uint32_t wanted);
  void find_victims(uint32_t wanted);

  const uint64_t frame_bytes_;
  std::vector<std::unique_ptr<Entry[]>> pages_;
  Slabs<OnDevice> device_;
  Slabs<Pinned> host_;
  std::vector<uint32_t> owner_;  // [frames] the slot in each
  std::vector<Victim> victims_;  // the longest unused last; those used since are skipped
  uint64_t tick_ = 0, call_ = 0;
  uint64_t homeless_ = 0;  // slots that hold something and have no frame on the host
  // By the present call: slots; those without a frame on the device; those of them that hold nothing.
  uint64_t named_ = 0, needed_ = 0, created_ = 0;
  bool paging_ = false;
  Stream stream_;
  Buffer<OnDevice> zeros_;
  Buffer<Pinned> lists_;
};

}  // namespace lorakeet::cuda
