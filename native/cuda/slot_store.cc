#include "slot_store.h"

#include <string.h>

#include <algorithm>

namespace lorakeet::cuda {
namespace {

// A block is about this large: small enough for a small pool, large enough that a big one needs few.
constexpr uint64_t kBlockBytes = 4 << 20;

uint32_t slots_per_block(uint64_t slab, uint32_t capacity) {
  const uint64_t fitting = kBlockBytes / (slab * sizeof(float) + sizeof(uint32_t));
  return static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(fitting, 1), capacity));
}

}  // namespace

SlotStore::SlotStore(uint32_t parameters, uint64_t slab, uint32_t capacity, Stream& stream)
    : slab_(slab), block_slots_(slots_per_block(slab, capacity)), stream_(stream) {
  stream_.zero(zeros_.reserve<float>(parameters), parameters * sizeof(float));
}

void SlotStore::claim(const uint32_t* slots, uint32_t count) {
  std::vector<uint32_t> added;
  try {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t index = slots[i] / block_slots_;
      if (blocks_.count(index)) continue;
      added.push_back(index);
      stream_.zero(blocks_[index].reserve<char>(block_bytes()), block_bytes());
    }
  } catch (...) {
    for (const uint32_t index : added) blocks_.erase(index);
    throw;
  }
}

Slot SlotStore::find(uint32_t slot) const {
  const auto block = blocks_.find(slot / block_slots_);
  if (block == blocks_.end()) return {nullptr, nullptr};
  const uint64_t at = slot % block_slots_;
  float* slabs = static_cast<float*>(block->second.memory());
  return {slabs + at * slab_, reinterpret_cast<uint32_t*>(slabs + block_slots_ * slab_) + at};
}

std::vector<Slot> SlotStore::resolve(const uint32_t* slots, uint32_t count) const {
  std::vector<Slot> found(count);
  for (uint32_t i = 0; i < count; i++) {
    found[i] = find(slots[i]);
    if (!found[i].slab) found[i].slab = static_cast<float*>(zeros_.memory());
  }
  return found;
}

uint32_t SlotStore::run_length(const uint32_t* slots, uint32_t first, uint32_t count) const {
  uint32_t length = 1;
  while (first + length < count && slots[first + length] == slots[first] + length &&
         slots[first + length] % block_slots_ != 0) {
    length++;
  }
  return length;
}

void SlotStore::write(const uint32_t* slots, uint32_t count, const float* slabs, const uint32_t* steps) {
  claim(slots, count);
  for (uint32_t i = 0; i < count;) {
    const uint32_t run = run_length(slots, i, count);
    const Slot slot = find(slots[i]);
    stream_.upload(slot.slab, slabs + i * slab_, run * slab_bytes());
    stream_.upload(slot.steps, steps + i, run * sizeof(uint32_t));
    i += run;
  }
  stream_.synchronize();
}

void SlotStore::read(const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps) {
  for (uint32_t i = 0; i < count;) {
    const uint32_t run = run_length(slots, i, count);
    const Slot slot = find(slots[i]);
    if (slot.slab) {
      stream_.download(slabs + i * slab_, slot.slab, run * slab_bytes());
      stream_.download(steps + i, slot.steps, run * sizeof(uint32_t));
    } else {
      memset(slabs + i * slab_, 0, run * slab_bytes());
      memset(steps + i, 0, run * sizeof(uint32_t));
    }
    i += run;
  }
  stream_.synchronize();
}

void SlotStore::copy(const uint32_t* from, const uint32_t* to, uint32_t count) {
  std::vector<uint32_t> targets;
  for (uint32_t i = 0; i < count; i++) {
    if (find(from[i]).slab) targets.push_back(to[i]);
  }
  claim(targets.data(), static_cast<uint32_t>(targets.size()));
  for (uint32_t i = 0; i < count; i++) {
    const Slot source = find(from[i]), target = find(to[i]);
    if (source.slab) {
      stream_.copy(target.slab, source.slab, slab_bytes());
      stream_.copy(target.steps, source.steps, sizeof(uint32_t));
    } else {
      zero(target);
    }
  }
  stream_.synchronize();
}

void SlotStore::clear(const uint32_t* slots, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) zero(find(slots[i]));
  stream_.synchronize();
}

void SlotStore::zero(Slot slot) {
  if (!slot.slab) return;
  stream_.zero(slot.slab, slab_bytes());
  stream_.zero(slot.steps, sizeof(uint32_t));
}

uint64_t SlotStore::memory_bytes() const { return zeros_.bytes() + blocks_.size() * block_bytes(); }

}  // namespace lorakeet::cuda
