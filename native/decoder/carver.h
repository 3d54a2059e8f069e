// Arrays that lie one behind another in one block.
#pragma once

#include <stddef.h>

namespace lorakeet {

// Without a block only measures; the same code, run again with a block of that many bytes, places the arrays in it.
class Carver {
 public:
  explicit Carver(char* block = nullptr) : block_(block) {}

  // [rows × columns], aligned to cache lines. Null while measuring.
  template <typename T>
  T* take(size_t rows, size_t columns = 1) {
    const size_t at = used_;
    if (columns > 0 && rows > kTooMuch / sizeof(T) / columns) {
      used_ = kTooMuch;
    } else {
      // a line between any two, so that arrays whose size is a power of two do not share their cache sets throughout
      used_ += (rows * columns * sizeof(T) + 2 * kLine - 1) / kLine * kLine;
    }
    if (used_ > kTooMuch) used_ = kTooMuch;
    if (used_ > most_) most_ = used_;
    return block_ ? reinterpret_cast<T*>(block_ + at) : nullptr;
  }

  // What is taken after rewind() may lie over what was taken since mark().
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }

  // No more than this: what would be larger has this size, which no machine has.
  static constexpr size_t kTooMuch = size_t{1} << 56;
  size_t bytes() const { return most_; }

 private:
  static constexpr size_t kLine = 64;
  char* block_;
  size_t used_ = 0, most_ = 0;
};

}  // namespace lorakeet
