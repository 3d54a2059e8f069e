// How the queries and keys of a batch are shared out among the blocks of attention.
#pragma once

#include <vector>

#include "attention_kernels.h"

namespace lorakeet::cuda::decoder {

// Adds the tiles of `rows` rows from `row` on, as QueryTile has them.
void add_query_tiles(const AttentionShape& shape, uint32_t row, uint32_t rows, uint32_t position, uint32_t key_row,
                     std::vector<QueryTile>* tiles);
void add_key_tiles(const AttentionShape& shape, uint32_t row, uint32_t rows, std::vector<KeyTile>* tiles);

// The most that there can be for so many rows in so many parts.
size_t most_query_tiles(const AttentionShape& shape, size_t rows, size_t parts);
size_t most_key_tiles(const AttentionShape& shape, size_t rows, size_t parts);

}  // namespace lorakeet::cuda::decoder
