// Memory that is given back with its owner: buffers that grow, and slabs of frames with a free list.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "device.h"

namespace lorakeet::cuda {

// Where memory comes from and goes to.
struct OnDevice {
  static void* take(uint64_t bytes) { return allocate(bytes); }
  static void give_back(void* memory) noexcept { release(memory); }
};
struct Pinned {
  static void* take(uint64_t bytes) { return allocate_pinned(bytes); }
  static void give_back(void* memory) noexcept { release_pinned(memory); }
};
struct OnHost {
  static void* take(uint64_t bytes) {
    void* memory = malloc(bytes);
    if (!memory) throw Failure{LORAKEET_OUT_OF_MEMORY, "the host has no memory"};
    return memory;
  }
  static void give_back(void* memory) noexcept { free(memory); }
};

template <class Source>
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { free(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least so many bytes; what was in the buffer is lost. When memory runs out the buffer is left empty.
  char* reserve(uint64_t bytes) {
    if (bytes > bytes_) {
      free();
      memory_ = Source::take(bytes);
      bytes_ = bytes;
    }
    return memory();
  }
  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
  }
  char* memory() const { return static_cast<char*>(memory_); }
  uint64_t bytes() const { return bytes_; }

 private:
  void free() noexcept {
    if (memory_) Source::give_back(memory_);
    memory_ = nullptr;
    bytes_ = 0;
  }

  void* memory_ = nullptr;
  uint64_t bytes_ = 0;
};

constexpr uint32_t kNoFrame = UINT32_MAX;

// Frames of one size, in contiguous slabs that double in size; taking and giving back one is O(1).
template <class Source>
class Slabs {
 public:
  Slabs(uint64_t frame_bytes, uint64_t most_frames) : frame_bytes_(frame_bytes), most_frames_(most_frames) {}

  // Frames in all, and those that are free.
  uint32_t frames() const { return static_cast<uint32_t>(frames_.size()); }
  uint32_t free_frames() const { return static_cast<uint32_t>(free_.size()); }
  // How many could be free if there is memory for all that may be taken.
  uint64_t room() const { return most_frames_ - frames_.size() + free_.size(); }
  char* operator[](uint32_t frame) const { return frames_[frame]; }
  uint64_t bytes() const { return frames_.size() * frame_bytes_; }
  size_t slabs() const { return slabs_.size(); }

  // Only when free_frames() > 0.
  uint32_t take() {
    const uint32_t frame = free_.back();
    free_.pop_back();
    return frame;
  }
  void give_back(uint32_t frame) { free_.push_back(frame); }

  // Adds slabs until so many frames are free, or until the limit or the memory is reached; `may_take(bytes)` is asked
  // before each.
  template <class MayTake>
  void grow(uint64_t free, MayTake may_take) {
    while (free_.size() < free && frames_.size() < most_frames_) {
      const uint64_t missing = free - free_.size();
      const uint64_t doubled = std::max<uint64_t>({frames_.size(), kSlabBytes / frame_bytes_, 1});
      const uint64_t count = std::min(
          {std::max(missing, std::min(doubled, kMostSlabBytes / frame_bytes_)), most_frames_ - frames_.size()});
      // Where there is no room for as much as is wanted there may be for what is missing, or for less.
      uint64_t taken = count;
      while (taken > 0 && !add(taken, may_take)) taken = taken > missing ? missing : taken / 2;
      if (taken == 0) return;
    }
  }

  // Gives back the slabs beyond the first `slabs`, whose frames must all be free.
  void shrink(size_t slabs) {
    while (slabs_.size() > slabs) {
      const uint32_t first = slabs_.back().first;
      free_.erase(std::remove_if(free_.begin(), free_.end(), [&](uint32_t frame) { return frame >= first; }),
                  free_.end());
      frames_.resize(first);
      slabs_.pop_back();
    }
  }

 private:
  static constexpr uint64_t kSlabBytes = 4 << 20, kMostSlabBytes = 1 << 30;

  struct Slab {
    uint32_t first;
    Buffer<Source> memory;
  };

  template <class MayTake>
  bool add(uint64_t count, MayTake may_take) {
    if (!may_take(count * frame_bytes_)) return false;
    Slab slab = {frames(), {}};
    try {
      slab.memory.reserve(count * frame_bytes_);
    } catch (const Failure& failure) {
      if (failure.status != LORAKEET_OUT_OF_MEMORY) throw;
      return false;
    }
    frames_.reserve(frames_.size() + count);
    free_.reserve(frames_.size() + count);
    slabs_.reserve(slabs_.size() + 1);
    for (uint64_t i = count; i-- > 0;) free_.push_back(static_cast<uint32_t>(slab.first + i));
    for (uint64_t i = 0; i < count; i++) frames_.push_back(slab.memory.memory() + i * frame_bytes_);
    slabs_.push_back(std::move(slab));
    return true;
  }

  const uint64_t frame_bytes_, most_frames_;
  std::vector<Slab> slabs_;
  std::vector<char*> frames_;
  std::vector<uint32_t> free_;
};

}  // namespace lorakeet::cuda
