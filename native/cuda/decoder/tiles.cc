#include "tiles.h"

#include <algorithm>

namespace lorakeet::cuda::decoder {

void add_query_tiles(const AttentionShape& shape, uint32_t row, uint32_t rows, uint32_t position, uint32_t key_row,
                     std::vector<QueryTile>* tiles) {
  const uint32_t queries = rows * shape.group();
  for (uint32_t first = 0; first < queries; first += shape.queries) {
    tiles->push_back({row, position, key_row, first, std::min(shape.queries, queries - first)});
  }
}

void add_key_tiles(const AttentionShape& shape, uint32_t row, uint32_t rows, std::vector<KeyTile>* tiles) {
  for (uint32_t first = 0; first < rows; first += shape.keys) {
    tiles->push_back({row, rows, first, std::min(shape.keys, rows - first)});
  }
}

size_t most_query_tiles(const AttentionShape& shape, size_t rows, size_t parts) {
  return rows * shape.group() / shape.queries + parts;
}

size_t most_key_tiles(const AttentionShape& shape, size_t rows, size_t parts) { return rows / shape.keys + parts; }

}  // namespace lorakeet::cuda::decoder
