// Merging entry by entry: what is the same for all instruction sets.
#pragma once

#include "isa.h"

namespace lorakeet {

// As in lorakeet_dense, but they throw std::bad_alloc.
void find_magnitude(const DenseKernels& isa, size_t rows, size_t columns, const lorakeet_summand& product,
                    uint64_t count, float found[2], uint32_t threads);
void merge_all_entries(const DenseKernels& isa, size_t rows, size_t columns, const lorakeet_summand* summands,
                       size_t count, lorakeet_election election, double lambda, float* merged, uint32_t threads);

// Threads worth waking for so many multiply-adds in so many parts: each should have about 100 µs of work at some 10
// multiply-adds per ns.
uint32_t workers_for(double work, size_t parts, uint32_t threads);

}  // namespace lorakeet
