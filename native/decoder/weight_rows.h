// Rows of weights as they come from a file, checked and turned into what they are kept as.
#pragma once

#include "weights.h"

namespace lorakeet {

size_t bytes_of(WeightType type);

// floats = `count` numbers of `type`, at any alignment, from number `first` on.
void read_floats(WeightType type, const char* values, size_t first, size_t count, float* floats);

bool all_finite(WeightType type, const char* values, size_t rows, size_t columns, uint32_t threads);

// `to` [rows × columns] of type `to_type`, aligned to its numbers. `row_scale` [rows]: written for kInt8, else unused.
// Where the types are the same, a copy.
void convert_rows(WeightType from_type, const char* from, size_t rows, size_t columns, uint32_t threads,
                  WeightType to_type, char* to, float* row_scale);

}  // namespace lorakeet
