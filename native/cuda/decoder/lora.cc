#include "lora.h"

#include <algorithm>

#include "products.h"
#include "row_kernels.h"

namespace lorakeet::cuda::decoder {
namespace {

// y = drop(x), or y += that
void drop_rows(const Run& run, const Target& target, const float* x, bool add, float* y) {
  run.launch(DropRows{x, static_cast<uint32_t>(target.in), dropout_key(run.dropout, target), run.dropout.threshold,
                      run.dropout.scale, add, y},
             run.rows);
}

// What enters loraA.
const float* input_of(const Run& run, const Target& target, const float* x) {
  if (!run.dropout.threshold) return x;
  drop_rows(run, target, x, false, run.dropped);
  return run.dropped;
}

}  // namespace

void add_lora(const Run& run, uint32_t layer, uint32_t module, const float* x, float* y) {
  for (const Segment& segment : run.segments) {
    const Target* const target = segment.adapter ? segment.adapter->targets.find(layer, module) : nullptr;
    if (!target) continue;
    const float* const input = input_of(run, *target, x);
    const size_t end = segment.first + segment.rows, block = run.hidden_numbers / target->rank;
    for (size_t row = segment.first; row < end; row += block) {
      const size_t rows = std::min(block, end - row);
      multiply_floats(run, input + row * target->in, rows, segment.adapter->lora_a(*target), target->rank, target->in,
                      1, false, run.hidden);
      multiply_floats(run, run.hidden, rows, segment.adapter->lora_b(*target), target->out, target->rank,
                      target->scaling, true, y + row * target->out);
    }
  }
}

// With u = loraA·x̃ and y += s·loraB·u: du = s·loraBᵀ·dy, dloraB = s·dy·uᵀ, dloraA = du·x̃ᵀ, dx̃ = loraAᵀ·du.
void lora_back(const Run& run, const DecoderAdapter& adapter, float* gradient, uint32_t layer, uint32_t module,
               const float* x, const float* dy, float* dx, float* back) {
  const Target* const target = adapter.targets.find(layer, module);
  if (!target) return;
  const size_t rank = target->rank, in = target->in, out = target->out, rows = run.rows;
  Blas& blas = run.engine.blas;
  const bool drops = run.dropout.threshold != 0;
  const float* const input = input_of(run, *target, x);
  float* const gradient_a = gradient + target->first;
  float* const gradient_b = gradient_a + rank * in;
  multiply_floats(run, input, rows, adapter.lora_a(*target), rank, in, 1, false, run.hidden);
  blas.multiply(
      {rows, rank, out, target->scaling, 0, dy, adapter.lora_b(*target), out, rank, false, false, false, back, rank});
  blas.multiply({out, rank, rows, target->scaling, 0, dy, run.hidden, out, rank, true, false, false, gradient_b, rank});
  blas.multiply({rank, in, rows, 1, 0, back, input, rank, in, true, false, false, gradient_a, in});
  if (!dx) return;
  blas.multiply({rows, in, rank, 1, drops ? 0.0f : 1.0f, back, adapter.lora_a(*target), rank, in, false, false, false,
                 drops ? run.dropped : dx, in});
  if (drops) drop_rows(run, *target, run.dropped, true, dx);
}

}  // namespace lorakeet::cuda::decoder
