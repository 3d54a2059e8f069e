// Large zeroed memory straight from the operating system.
#pragma once

#include <stddef.h>

namespace lorakeet {

// A block whose addresses are reserved at once and whose memory is taken from the front as it comes into use: beyond
// what was used() it costs nothing, up to a page. Whole 2 MB pages of the used part are huge pages where the system
// grants them; the part that does not fill one stays in small pages, so that it costs no more than it needs.
class LazyBlock {
 public:
  LazyBlock() = default;
  // Throws std::bad_alloc. A block of 0 bytes has no data.
  explicit LazyBlock(size_t bytes);
  ~LazyBlock();
  LazyBlock(LazyBlock&& other) noexcept;
  LazyBlock& operator=(LazyBlock&& other) noexcept;

  // The first `bytes` bytes (no more than the block has) may be touched from now on; they are zero at first. Throws
  // std::bad_alloc.
  void use(size_t bytes);
  // 2 MB-aligned where the block is that large, else page-aligned.
  char* data() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }

 private:
  char* data_ = nullptr;
  size_t bytes_ = 0, used_ = 0;
};

}  // namespace lorakeet
