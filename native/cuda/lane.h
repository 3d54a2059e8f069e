// One of the pool's two ways to the device: a stream, and memory through which arguments go there and results come
// back.
//
// The caller's arrays are first copied to pinned memory, by several threads when there is much, and go to the device
// from there in one asynchronous copy; results come back the same way. While one lane's data travels and its kernel
// runs, the other is being filled.
#pragma once

#include <functional>

#include "memory.h"

namespace lorakeet::cuda {

// Copies `rows` rows of `width` bytes, which lie `to_pitch` and `from_pitch` bytes apart, with up to `threads` threads;
// what is between the rows of `to` becomes zero.
void copy_rows(void* to, uint64_t to_pitch, const void* from, uint64_t from_pitch, uint64_t width, uint64_t rows,
               uint32_t threads);

class Lane {
 public:
  explicit Lane(uint32_t threads) : threads_(threads) {}

  // The same piece of memory on both sides.
  template <class T>
  struct Both {
    T *host, *device;
  };

  static constexpr uint64_t kAlignment = 256;
  // What take() takes for so many elements.
  template <class T>
  static uint64_t size(uint64_t count) {
    return round_up(count * sizeof(T), kAlignment);
  }

  // Memory for `bytes` of arguments and results together; to be called while the lane is idle.
  void reserve(uint64_t bytes) {
    pinned_.reserve(bytes);
    device_.reserve(bytes);
  }
  // Waits until the lane is idle, and hands over what it brought, or does not.
  void finish();
  void abandon() noexcept;

  // The rest is for a batch between two finish(): arguments first, send(), launch, results, receive().
  template <class T>
  Both<T> take(uint64_t count) {
    const uint64_t at = used_;
    used_ += size<T>(count);
    return {reinterpret_cast<T*>(pinned_.memory() + at), reinterpret_cast<T*>(device_.memory() + at)};
  }
  // A copy of `count` elements on the device; null stays null.
  template <class T>
  const T* put(const T* from, uint64_t count) {
    if (!from) return nullptr;
    const Both<T> both = take<T>(count);
    copy_rows(both.host, count * sizeof(T), from, count * sizeof(T), count * sizeof(T), 1, threads_);
    return both.device;
  }
  // Rows of `features` numbers, padded to `pitch`.
  const float* put_rows(const float* from, uint64_t rows, uint32_t features, uint32_t pitch);

  // Sends everything taken so far.
  void send();
  // Brings everything taken since, and has `deliver` called once it is there.
  void receive(std::function<void()> deliver);

  Stream& stream() { return stream_; }
  uint32_t threads() const { return threads_; }
  uint64_t memory_bytes() const { return pinned_.bytes() + device_.bytes(); }

 private:
  const uint32_t threads_;
  Stream stream_;
  Buffer<Pinned> pinned_;
  Buffer<OnDevice> device_;
  uint64_t used_ = 0, sent_ = 0;
  std::function<void()> deliver_;
};

}  // namespace lorakeet::cuda
