#include "lora.h"

#include <algorithm>

#include "spread.h"

namespace lorakeet {
namespace {

// Up to so many rows, waking other threads would take longer than the work itself.
constexpr size_t kRowsAlone = 4;

MatrixView row_major(const float* data, size_t columns) { return {data, columns, 1}; }
MatrixView transposed(const float* data, size_t columns) { return {data, 1, columns}; }

// y = drop(x), or y += that
void drop_rows(const Run& run, const Target& target, const float* x, bool add, float* y) {
  const uint32_t key = dropout_key(run.dropout, target);
  for_rows(run.threads(), run.rows, target.in, [&](size_t row) {
    run.kernels().drop(x + row * target.in, target.in, dropout_row_key(key, row, target.in), run.dropout.threshold,
                       run.dropout.scale, add, y + row * target.in);
  });
}

void add_few(const Run& run, const Adapter& adapter, const Target& target, const float* x, size_t rows, float* y) {
  float* const hidden = run.hidden;
  for (size_t row = 0; row < rows; row++) {
    run.kernels().multiply_vector(adapter.lora_a(target), target.rank, target.in, x + row * target.in, 1, false,
                                  hidden);
    run.kernels().multiply_vector(adapter.lora_b(target), target.out, target.rank, hidden, target.scaling, true,
                                  y + row * target.out);
  }
}

// hidden [rows × rank] = x·loraAᵀ
void enter(const Run& run, const Adapter& adapter, const Target& target, const float* x, size_t rows) {
  run.products.multiply(rows, target.rank, target.in, 1, row_major(x, target.in),
                        transposed(adapter.lora_a(target), target.in), 0, run.hidden, target.rank);
}

void add_many(const Run& run, const Adapter& adapter, const Target& target, const float* x, size_t rows, float* y) {
  enter(run, adapter, target, x, rows);
  run.products.multiply(rows, target.out, target.rank, target.scaling, row_major(run.hidden, target.rank),
                        transposed(adapter.lora_b(target), target.rank), 1, y, target.out);
}

}  // namespace

void add_lora(const Run& run, uint32_t layer, uint32_t module, const float* x, float* y) {
  for (const Segment* segment = run.segments; segment < run.segments + run.segment_count; segment++) {
    const Target* target = segment->adapter ? segment->adapter->targets.find(layer, module) : nullptr;
    if (!target) continue;
    const float* input = x;
    if (run.dropout.threshold) {
      drop_rows(run, *target, x, false, run.dropped);
      input = run.dropped;
    }
    const size_t end = segment->first + segment->rows, block = run.hidden_numbers / target->rank;
    for (size_t row = segment->first; row < end; row += block) {
      const size_t rows = std::min(block, end - row);
      const auto add = rows <= kRowsAlone ? add_few : add_many;
      add(run, *segment->adapter, *target, input + row * target->in, rows, y + row * target->out);
    }
  }
}

// With u = loraA·x̃ and y += s·loraB·u: du = s·loraBᵀ·dy, dloraB = s·dy·uᵀ, dloraA = du·x̃ᵀ, dx̃ = loraAᵀ·du.
void lora_back(const Run& run, Adapter& adapter, uint32_t layer, uint32_t module, const float* x, const float* dy,
               float* dx, float* back) {
  const Target* const target = adapter.targets.find(layer, module);
  if (!target) return;
  const size_t rank = target->rank, in = target->in, out = target->out;
  Products& products = run.products;
  const bool drops = run.dropout.threshold != 0;
  if (drops) drop_rows(run, *target, x, false, run.dropped);
  const float* const input = drops ? run.dropped : x;
  enter(run, adapter, *target, input, run.rows);
  products.multiply(run.rows, rank, out, target->scaling, row_major(dy, out), row_major(adapter.lora_b(*target), rank),
                    0, back, rank);
  products.multiply(out, rank, run.rows, target->scaling, transposed(dy, out), row_major(run.hidden, rank), 1,
                    adapter.gradient_b(*target), rank);
  products.multiply(rank, in, run.rows, 1, transposed(back, rank), row_major(input, in), 1, adapter.gradient_a(*target),
                    in);
  if (!dx) return;
  products.multiply(run.rows, in, rank, 1, row_major(back, rank), row_major(adapter.lora_a(*target), in), drops ? 0 : 1,
                    drops ? run.dropped : dx, in);
  if (drops) drop_rows(run, *target, run.dropped, true, dx);
}

}  // namespace lorakeet
