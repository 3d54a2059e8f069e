// Memory of a pool beside its slots: working memory by thread, and the bound item table.
#pragma once

#include <string.h>

#include "memory.h"
#include "recent.h"
#include "slot.h"

namespace lorakeet {

// One thread's working memory in a single allocation, and what its core has in the cache.
class ScratchMemory {
 public:
  explicit ScratchMemory(const SlotShape& shape) {
    const auto whole_lines = [](size_t floats) { return (floats + kTile - 1) / kTile * kTile; };
    const size_t in_row = static_cast<size_t>(shape.in_tiles + 1) * kTile;
    const size_t out_row = static_cast<size_t>(shape.out_tiles + 1) * kTile;
    const auto copies = [](uint32_t features, size_t row) { return features % kTile ? kChunk * row : 0; };
    const size_t sizes[8] = {copies(shape.in_features, in_row),
                             copies(shape.out_features, out_row),
                             kChunk * out_row,
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             whole_lines(static_cast<size_t>(kChunk) * shape.rank),
                             shape.section,
                             shape.section * (shape.moments ? 3 : 1)};
    float** pieces[8] = {&scratch.rows,     &scratch.targets,  &scratch.errors,   &scratch.hidden,
                         &scratch.weighted, &scratch.backward, &scratch.gradient, &scratch.backup};
    for (const size_t size : sizes) bytes_ += (size + kTile) * sizeof(float);
    block_ = LazyBlock(bytes_);
    block_.use(bytes_);
    float* next = block_.floats();
    for (int i = 0; i < 8; i++) {
      *pieces[i] = next;
      next +=
          sizes[i] + kTile;  // an odd number of cache lines between pieces: no two share their cache sets throughout
    }
  }
  size_t bytes() const { return bytes_ + sizeof(*this); }

  Scratch scratch{};
  RecentSlots applied, updated;

 private:
  size_t bytes_ = 0;
  LazyBlock block_;
};

// The bound item table: rows padded with zeros to whole tiles, so that kernels read them in place.
class ItemTable {
 public:
  ItemTable(const float* matrix, uint32_t items, uint32_t features)
      : row_((features + kTile - 1) / kTile * kTile), block_(bytes_of(items)) {
    block_.use(bytes_of(items));
    for (size_t i = 0; i < items; i++) {
      memcpy(block_.floats() + i * row_, matrix + i * features, features * sizeof(float));
    }
    bytes_ = bytes_of(items);
  }
  const float* rows() const { return block_.floats(); }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_of(uint32_t items) const { return static_cast<size_t>(items) * row_ * sizeof(float); }
  size_t row_, bytes_ = 0;
  LazyBlock block_;
};

}  // namespace lorakeet
