// Causal attention with grouped queries: out = softmax(q·kᵀ / √dim)·v, each query with the keys up to its own position.
// Scores are kept for a block of queries at a time; backward computes them again from q, k and the logarithms of their
// sums.
#pragma once

#include "run.h"

namespace lorakeet {

// Queries whose scores are in working memory at the same time.
constexpr size_t kQueryBlock = 64;

// One head of queries of one sequence.
struct HeadRows {
  const float *q, *k, *v;
  size_t q_stride, k_stride, v_stride;  // from one row to the next
  size_t first, rows;                   // the queries are those of the positions from `first` on; keys begin at 0
};

// out [rows × dim, out_stride]. `log_sums`, or null: of each row, log_stride apart. `scores`: working memory of
// min(rows, kQueryBlock) times as many numbers as there are keys.
void attend_rows(const Run& run, uint32_t worker, const HeadRows& head, float* out, size_t out_stride, float* log_sums,
                 size_t log_stride, float* scores);

// Sequences packed one after another: q, out and their gradients [rows × heads · dim], k, v [rows × key-value heads ·
// dim].
struct PackedSequences {
  const uint32_t* offsets;  // [count + 1]
  size_t count;
  size_t* blocks;  // [count + 1], working memory
  float* scores;   // [threads × score_numbers], working memory
  size_t score_numbers;
};

// Numbers of working memory that a thread needs for sequences of this length.
inline size_t score_numbers(size_t longest, bool backward) {
  return (longest < kQueryBlock ? longest : kQueryBlock) * longest * (backward ? 2 : 1);
}

// log_sums: [rows × heads]
void attend(const Run& run, const PackedSequences& sequences, const float* q, const float* k, const float* v,
            float* out, float* log_sums);

void attend_back(const Run& run, const PackedSequences& sequences, const float* q, const float* k, const float* v,
                 const float* log_sums, const float* d_out, float* dq, float* dk, float* dv);

}  // namespace lorakeet
