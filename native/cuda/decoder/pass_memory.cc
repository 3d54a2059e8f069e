#include "pass_memory.h"

#include "../../decoder/layer_memory.h"

namespace lorakeet::cuda::decoder {
namespace {

// Logits that are there at the same time: more of them read the head less often, and take more memory.
constexpr size_t kLogits = size_t{1} << 25, kLogitsRecomputing = size_t{1} << 22, kFewestHeadRows = 16;

}  // namespace

void PassMemory::lay_out(Carver& carver, const DecoderModel& model, const Targets* targets, const PassSize& size) {
  const auto& config = model.config;
  const size_t rows = size.tokens, hidden = config.hidden_size, width = config.intermediate_size;
  const size_t q_width = model.query_width(), half = config.head_dim / 2;
  const uint32_t lowest = size.backward ? targets->lowest_layer() : config.layers;
  const auto numbers = [&carver](size_t count, size_t each = 1) { return carver.take<float>(count, each); };

  tokens = carver.take<uint32_t>(rows);
  places = carver.take<uint32_t>(rows);
  labels = carver.take<uint32_t>(size.targets);
  sources = carver.take<uint32_t>(size.targets);
  coefficients = numbers(size.targets);
  log_probabilities = numbers(size.targets);
  shape = attention_shape(config, UINT32_MAX, false);
  tiles = carver.take<QueryTile>(most_query_tiles(shape, rows, size.sequences));
  cosines = numbers(size.longest, half);
  sines = numbers(size.longest, half);
  if (size.backward) {
    back_shape = attention_shape(config, UINT32_MAX, true);
    back_tiles = carver.take<QueryTile>(most_query_tiles(back_shape, rows, size.sequences));
    key_tiles = carver.take<KeyTile>(most_key_tiles(back_shape, rows, size.sequences));
    along = numbers(rows, config.heads);
    gradient = numbers(targets->parameters());
  }
  output = numbers(rows, hidden);
  d = size.backward ? numbers(rows, hidden) : nullptr;
  normed = numbers(rows, hidden);
  hidden_numbers = targets ? rows * targets->largest_rank() : 0;
  lora = numbers(hidden_numbers);
  dropped = size.dropout ? numbers(rows, targets->widest()) : nullptr;
  const size_t logits_there = size.recompute ? kLogitsRecomputing : kLogits;
  head_rows = std::min(size.targets, std::max(kFewestHeadRows, logits_there / config.vocab_size));
  products.lay_out(carver, model, std::max(rows * std::max({hidden, width, q_width}), head_rows * config.vocab_size));

  place_layers(carver, config, size, lowest, output, layers);

  // Working memory that is never needed at the same time lies in the same place.
  const size_t mark = carver.mark();
  product = numbers(rows, width);
  carver.rewind(mark);
  head_hidden = numbers(head_rows, hidden);
  d_head_hidden = numbers(head_rows, hidden);
  logits = numbers(head_rows, config.vocab_size);
  if (!size.backward) return;
  carver.rewind(mark);
  back = place_layer_back(carver, config, rows, normed, hidden_numbers);
}

uint64_t pass_bytes(const DecoderModel& model, const Targets& targets, const PassSize& size) {
  Carver measure;
  PassMemory memory;
  memory.layers.resize(model.config.layers);
  memory.lay_out(measure, model, &targets, size);
  return measure.bytes() + Blas::kWorkspaceBytes;
}

}  // namespace lorakeet::cuda::decoder
