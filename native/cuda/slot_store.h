// Where the slots of a pool lie in device memory: in blocks of several slots, taken as slots come into use.
#pragma once

#include <stdint.h>

#include <unordered_map>
#include <vector>

#include "buffer.h"

namespace lorakeet::cuda {

class SlotStore {
 public:
  // `parameters`: numbers in one section of a slab; `slab`: numbers in all of it.
  SlotStore(uint32_t parameters, uint64_t slab, uint32_t capacity, Stream& stream);

  // Gives every listed slot memory of its own, zeros at first. When that fails nothing has changed.
  void claim(const uint32_t* slots, uint32_t count);
  // The slots in the order given. One that has no memory of its own yet shows shared weights of zero, to be read only.
  std::vector<Slot> resolve(const uint32_t* slots, uint32_t count) const;

  // As the operations of the same names in kernels.h.
  void write(const uint32_t* slots, uint32_t count, const float* slabs, const uint32_t* steps);
  void read(const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps);
  void copy(const uint32_t* from, const uint32_t* to, uint32_t count);
  void clear(const uint32_t* slots, uint32_t count);

  uint64_t memory_bytes() const;

 private:
  uint64_t slab_bytes() const { return slab_ * sizeof(float); }
  uint64_t block_bytes() const { return block_slots_ * (slab_bytes() + sizeof(uint32_t)); }
  // Null members when the slot has no memory of its own.
  Slot find(uint32_t slot) const;
  void zero(Slot slot);
  // How many of the slots from `first` on are neighbours in one block, so that one transfer moves them all.
  uint32_t run_length(const uint32_t* slots, uint32_t first, uint32_t count) const;

  const uint64_t slab_;
  const uint32_t block_slots_;
  Stream& stream_;
  Buffer zeros_;
  // Block b holds slots b·block_slots_ …: first all their slabs, then all their step counts.
  std::unordered_map<uint32_t, Buffer> blocks_;
};

}  // namespace lorakeet::cuda
