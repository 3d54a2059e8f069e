#include "products.h"

#include <algorithm>

#include "element_kernels.h"
#include "weight_kernels.h"

namespace lorakeet::cuda::decoder {
namespace {

// Numbers of a weight that are there at the same time in another type than it is kept in.
constexpr size_t kExpandedNumbers = size_t{1} << 24;

WeightType multiplied_type(const DecoderModel& model) { return model.bf16() ? WeightType::kBf16 : WeightType::kF32; }

size_t number_bytes(const DecoderModel& model) { return model.bf16() ? sizeof(Bf16) : sizeof(float); }

bool whole_quads(size_t in, const void* a, const void* b) {
  return in % kQuad == 0 && reinterpret_cast<uintptr_t>(a) % 16 == 0 && reinterpret_cast<uintptr_t>(b) % 16 == 0;
}

void multiply_few(const Run& run, const float* x, size_t rows, const Weight& weight, float scale, bool add, float* y) {
  const size_t items = (weight.out + kFewColumns - 1) / kFewColumns;
  const auto few = [&](auto kernel) {
    kernel.weight = numbers_of(weight);
    kernel.out = static_cast<uint32_t>(weight.out);
    kernel.rows = static_cast<uint32_t>(rows);
    kernel.x = x;
    kernel.scale = scale;
    kernel.add = add;
    kernel.quads = whole_quads(weight.in, weight.data, x);
    kernel.y = y;
    run.launch(kernel, items);
  };
  if (rows == 1) {
    few(FewRows<1>{});
  } else if (rows <= 4) {
    few(FewRows<4>{});
  } else {
    few(FewRows<8>{});
  }
}

// Rows in the type that is multiplied.
const void* multiplied_rows(const Run& run, const float* x, size_t numbers) {
  if (!run.model.bf16()) return x;
  run.launch(RoundNumbers{x, static_cast<Bf16*>(run.products.rows), numbers}, stretches(numbers));
  return run.products.rows;
}

// work(operand, first row, rows) for a weight in the type that is multiplied, as many rows at a time as there is room
// for.
template <class Work>
void for_weight(const Run& run, const Weight& weight, Work work) {
  if (weight.type == multiplied_type(run.model)) return work(weight.data, size_t{0}, weight.out);
  const size_t most = std::max<size_t>(run.products.weight_numbers / weight.in, 1);
  for (size_t first = 0; first < weight.out; first += most) {
    const size_t rows = std::min(most, weight.out - first);
    run.launch(ExpandRows{numbers_of(weight), first, run.products.weights, run.model.bf16()}, rows);
    work(run.products.weights, first, rows);
  }
}

}  // namespace

void ProductMemory::lay_out(Carver& carver, const DecoderModel& model, size_t numbers) {
  const auto& config = model.config;
  const bool expands = static_cast<WeightType>(config.weight_dtype) != multiplied_type(model);
  const size_t width = std::max<size_t>({config.hidden_size, config.intermediate_size, model.query_width()});
  const size_t most = width * std::max<size_t>({width, config.vocab_size});
  rows = model.bf16() ? carver.take<Bf16>(numbers) : nullptr;
  weight_numbers = expands ? std::max(std::min(kExpandedNumbers, most), width) : 0;
  weights = carver.take<char>(weight_numbers, number_bytes(model));
}

void multiply_weights(const Run& run, const float* x, size_t rows, const Output* outputs, size_t count, bool add) {
  if (rows <= kFewRows) {
    for (size_t i = 0; i < count; i++) multiply_few(run, x, rows, outputs[i].weight, 1, add, outputs[i].y);
    return;
  }
  const size_t in = outputs[0].weight.in;
  const void* const left = multiplied_rows(run, x, rows * in);
  for (size_t i = 0; i < count; i++) {
    const Weight& weight = outputs[i].weight;
    for_weight(run, weight, [&](const void* right, size_t first, size_t columns) {
      run.engine.blas.multiply({rows, columns, in, 1, add ? 1.0f : 0.0f, left, right, in, in, false, true,
                                run.model.bf16(), outputs[i].y + first, weight.out});
    });
  }
}

void multiply_back(const Run& run, const float* dy, size_t rows, const Weight& weight, float* d, bool add) {
  const void* const left = multiplied_rows(run, dy, rows * weight.out);
  for_weight(run, weight, [&](const void* right, size_t first, size_t depth) {
    const void* const part = static_cast<const char*>(left) + first * number_bytes(run.model);
    run.engine.blas.multiply({rows, weight.in, depth, 1, add || first > 0 ? 1.0f : 0.0f, part, right, weight.out,
                              weight.in, false, false, run.model.bf16(), d, weight.in});
  });
}

void multiply_floats(const Run& run, const float* x, size_t rows, const float* matrix, size_t out, size_t in,
                     float scale, bool add, float* y) {
  if (rows <= kFewRows) {
    return multiply_few(run, x, rows, {WeightType::kF32, matrix, nullptr, out, in}, scale, add, y);
  }
  run.engine.blas.multiply({rows, out, in, scale, add ? 1.0f : 0.0f, x, matrix, in, in, false, true, false, y, out});
}

}  // namespace lorakeet::cuda::decoder
