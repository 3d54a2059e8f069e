#include "attention.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "spread.h"

namespace lorakeet {
namespace {

MatrixView rows_of(const float* data, size_t stride) { return {data, stride, 1}; }
MatrixView columns_of(const float* data, size_t stride) { return {data, 1, stride}; }

float score_scale(const Run& run) { return 1.0f / sqrtf(static_cast<float>(run.model.config.head_dim)); }

// Past the diagonal nothing is attended to.
void clear_future(float* row, size_t allowed, size_t keys) {
  memset(row + allowed, 0, (keys - allowed) * sizeof(float));
}

}  // namespace

void attend_rows(const Run& run, uint32_t worker, const HeadRows& head, float* out, size_t out_stride, float* log_sums,
                 size_t log_stride, float* scores) {
  const size_t dim = run.model.config.head_dim;
  const float scale = score_scale(run);
  for (size_t from = 0; from < head.rows; from += kQueryBlock) {
    const size_t rows = std::min(kQueryBlock, head.rows - from), keys = head.first + from + rows;
    run.products.multiply_small(worker, rows, keys, dim, 1, rows_of(head.q + from * head.q_stride, head.q_stride),
                                columns_of(head.k, head.k_stride), 0, scores, keys);
    for (size_t row = 0; row < rows; row++) {
      const size_t allowed = head.first + from + row + 1;
      const float log_sum = run.kernels().soften(scores + row * keys, scale, allowed);
      clear_future(scores + row * keys, allowed, keys);
      if (log_sums) log_sums[(from + row) * log_stride] = log_sum;
    }
    run.products.multiply_small(worker, rows, dim, keys, 1, rows_of(scores, keys), rows_of(head.v, head.v_stride), 0,
                                out + from * out_stride, out_stride);
  }
}

void attend(const Run& run, const PackedSequences& sequences, const float* q, const float* k, const float* v,
            float* out, float* log_sums) {
  const auto& config = run.model.config;
  const size_t dim = config.head_dim, heads = config.heads, group = heads / config.key_value_heads;
  const size_t q_width = run.model.query_width(), k_width = run.model.key_width();
  // A task is one head of one block of queries; all blocks of all heads of a sequence stand behind those of the one
  // before.
  size_t* const tasks = sequences.blocks;
  tasks[0] = 0;
  for (size_t s = 0; s < sequences.count; s++) {
    const size_t length = sequences.offsets[s + 1] - sequences.offsets[s];
    tasks[s + 1] = tasks[s] + (length + kQueryBlock - 1) / kQueryBlock * heads;
  }
  spread(run.threads(), tasks[sequences.count], 1, [&](uint32_t worker, size_t task, size_t last) {
    float* const scores = sequences.scores + worker * sequences.score_numbers;
    size_t s = static_cast<size_t>(std::upper_bound(tasks, tasks + sequences.count, task) - tasks) - 1;
    for (; task < last; task++) {
      while (task >= tasks[s + 1]) s++;
      const size_t start = sequences.offsets[s], length = sequences.offsets[s + 1] - start;
      const size_t head = (task - tasks[s]) % heads, from = (task - tasks[s]) / heads * kQueryBlock;
      const size_t q_at = (start + from) * q_width + head * dim, k_at = start * k_width + head / group * dim;
      attend_rows(run, worker,
                  {q + q_at, k + k_at, v + k_at, q_width, k_width, k_width, from, std::min(kQueryBlock, length - from)},
                  out + q_at, q_width, log_sums + (start + from) * heads + head, heads, scores);
    }
  });
}

void attend_back(const Run& run, const PackedSequences& sequences, const float* q, const float* k, const float* v,
                 const float* log_sums, const float* d_out, float* dq, float* dk, float* dv) {
  const auto& config = run.model.config;
  const size_t dim = config.head_dim, heads = config.heads, key_heads = config.key_value_heads;
  const size_t group = heads / key_heads;
  const size_t q_width = run.model.query_width(), k_width = run.model.key_width();
  const float scale = score_scale(run);
  Products& products = run.products;
  // A task is one head of keys of one sequence, with the queries of its group: nobody else adds to its dk and dv.
  spread(run.threads(), sequences.count * key_heads, 1, [&](uint32_t worker, size_t task, size_t last) {
    float* const p = sequences.scores + worker * sequences.score_numbers;
    float* const dp = p + sequences.score_numbers / 2;
    for (; task < last; task++) {
      const size_t start = sequences.offsets[task / key_heads];
      const size_t length = sequences.offsets[task / key_heads + 1] - start;
      const size_t key_head = task % key_heads, k_at = start * k_width + key_head * dim;
      const MatrixView key_columns = columns_of(k + k_at, k_width), value_columns = columns_of(v + k_at, k_width);
      for (size_t row = 0; row < length; row++) {
        memset(dk + k_at + row * k_width, 0, dim * sizeof(float));
        memset(dv + k_at + row * k_width, 0, dim * sizeof(float));
      }
      for (size_t head = key_head * group; head < (key_head + 1) * group; head++) {
        for (size_t from = 0; from < length; from += kQueryBlock) {
          const size_t rows = std::min(kQueryBlock, length - from), keys = from + rows;
          const size_t q_at = (start + from) * q_width + head * dim;
          products.multiply_small(worker, rows, keys, dim, 1, rows_of(q + q_at, q_width), key_columns, 0, p, keys);
          products.multiply_small(worker, rows, keys, dim, 1, rows_of(d_out + q_at, q_width), value_columns, 0, dp,
                                  keys);
          for (size_t row = 0; row < rows; row++) {
            const size_t allowed = from + row + 1;
            const float log_sum = log_sums[(start + from + row) * heads + head];
            run.kernels().soften_again(p + row * keys, scale, log_sum, allowed);
            clear_future(p + row * keys, allowed, keys);
            run.kernels().soften_back(p + row * keys, scale, allowed, dp + row * keys);
            clear_future(dp + row * keys, allowed, keys);
          }
          products.multiply_small(worker, keys, dim, rows, 1, columns_of(p, keys), rows_of(d_out + q_at, q_width), 1,
                                  dv + k_at, k_width);
          products.multiply_small(worker, keys, dim, rows, 1, columns_of(dp, keys), rows_of(q + q_at, q_width), 1,
                                  dk + k_at, k_width);
          products.multiply_small(worker, rows, dim, keys, 1, rows_of(dp, keys), rows_of(k + k_at, k_width), 0,
                                  dq + q_at, q_width);
        }
      }
    }
  });
}

}  // namespace lorakeet
