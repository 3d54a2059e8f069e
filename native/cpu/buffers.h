// Memory of a pool beside its slots: working memory by thread, and the bound item table.
#pragma once

#include <string.h>

#include <new>

#include "memory.h"
#include "slot.h"

namespace lorakeet {

// One thread's working memory in a single allocation.
class ScratchMemory {
 public:
  explicit ScratchMemory(const SlotShape& shape) {
    const auto whole_lines = [](size_t floats) { return (floats + kTile - 1) / kTile * kTile; };
    const size_t in_row = static_cast<size_t>(shape.in_tiles + 1) * kTile;
    const size_t out_row = static_cast<size_t>(shape.out_tiles + 1) * kTile;
    const size_t sizes[8] = {kChunk * in_row,
                             kChunk * out_row,
                             kChunk * out_row,
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             shape.section,
                             shape.floats};
    float** pieces[8] = {&scratch.rows,     &scratch.targets,  &scratch.errors,   &scratch.hidden,
                         &scratch.weighted, &scratch.backward, &scratch.gradient, &scratch.backup};
    for (const size_t size : sizes) bytes_ += (size + kTile) * sizeof(float);
    block_ = static_cast<float*>(allocate_pages(bytes_));
    if (!block_) throw std::bad_alloc();
    float* next = block_;
    for (int i = 0; i < 8; i++) {
      *pieces[i] = next;
      next +=
          sizes[i] + kTile;  // an odd number of cache lines between pieces: no two share their cache sets throughout
    }
  }
  ~ScratchMemory() { free_pages(block_, bytes_); }
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  size_t bytes() const { return bytes_; }

  Scratch scratch{};

 private:
  float* block_ = nullptr;
  size_t bytes_ = 0;
};

// The bound item table: rows padded with zeros to whole tiles, so that kernels read them in place.
class ItemTable {
 public:
  ItemTable(const float* matrix, uint32_t items, uint32_t features) : row_((features + kTile - 1) / kTile * kTile) {
    bytes_ = static_cast<size_t>(items) * row_ * sizeof(float);
    rows_ = static_cast<float*>(allocate_pages(bytes_));
    if (!rows_) throw std::bad_alloc();
    for (size_t i = 0; i < items; i++) memcpy(rows_ + i * row_, matrix + i * features, features * sizeof(float));
  }
  ~ItemTable() { free_pages(rows_, bytes_); }
  ItemTable(const ItemTable&) = delete;
  ItemTable& operator=(const ItemTable&) = delete;
  const float* rows() const { return rows_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t row_, bytes_;
  float* rows_;
};

}  // namespace lorakeet
