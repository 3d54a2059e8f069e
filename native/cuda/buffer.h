// Device memory that grows with what is asked of it and is given back with its owner.
#pragma once

#include <utility>

#include "device.h"

namespace lorakeet::cuda {

class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { free(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `count` numbers or structs; what was in the buffer is lost. An empty buffer is left when memory runs out.
  template <class T>
  T* reserve(uint64_t count) {
    const uint64_t bytes = count * sizeof(T);
    if (bytes > bytes_) {
      free();
      memory_ = allocate(bytes);
      bytes_ = bytes;
    }
    return static_cast<T*>(memory_);
  }

  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
  }

  void* memory() const { return memory_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void free() noexcept {
    if (memory_) release(memory_);
    memory_ = nullptr;
    bytes_ = 0;
  }

  void* memory_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace lorakeet::cuda
