#include "pass.h"

#include <string.h>

#include <algorithm>

#include "layer_memory.h"
#include "spread.h"
#include "steps.h"

using namespace lorakeet;

namespace {

// Rows whose logits are there at the same time: more of them read the head less often, and take more memory.
constexpr size_t kHeadRows = 128, kHeadRowsRecomputing = 32;

}  // namespace

void PassMemory::lay_out(Carver& carver, const Model& model, const Targets* targets, const PassSize& size) {
  const auto& config = model.config;
  const size_t rows = size.tokens, hidden = config.hidden_size, width = config.intermediate_size;
  const size_t half = config.head_dim / 2;
  const uint32_t lowest = size.backward ? targets->lowest_layer() : config.layers;
  const auto numbers = [&carver](size_t count, size_t each) { return carver.take<float>(count, each); };

  offsets = carver.take<uint32_t>(size.sequences + 1);
  positions = carver.take<uint32_t>(size.targets);
  labels = carver.take<uint32_t>(size.targets);
  places = carver.take<uint32_t>(rows);
  cosines = numbers(size.longest, half);
  sines = numbers(size.longest, half);
  sequences.offsets = offsets;
  sequences.count = size.sequences;
  sequences.blocks = carver.take<size_t>(size.sequences + 1);
  sequences.score_numbers = score_numbers(size.longest, size.backward);
  sequences.scores = numbers(sequences.score_numbers, config.threads);

  output = numbers(rows, hidden);
  d = size.backward ? numbers(rows, hidden) : nullptr;
  normed = numbers(rows, hidden);
  hidden_numbers = targets ? rows * targets->largest_rank() : 0;
  lora = numbers(hidden_numbers, 1);
  dropped = size.dropout ? numbers(rows, targets->widest()) : nullptr;

  place_layers(carver, config, size, lowest, output, layers);

  // Working memory that is never needed at the same time lies in the same place.
  const size_t mark = carver.mark();
  product = numbers(rows, width);
  carver.rewind(mark);
  head.chunk = std::min(size.targets, size.recompute ? kHeadRowsRecomputing : kHeadRows);
  head.hidden = numbers(head.chunk, hidden);
  head.d_hidden = numbers(head.chunk, hidden);
  head.logits = numbers(head.chunk, config.vocab_size);
  if (!size.backward) return;
  carver.rewind(mark);
  back = place_layer_back(carver, config, rows, normed, hidden_numbers);
}

uint64_t lorakeet::pass_bytes(const Model& model, const Targets& targets, const PassSize& size) {
  Carver measure;
  PassMemory memory;
  memory.layers.resize(model.config.layers);
  memory.lay_out(measure, model, &targets, size);
  return measure.bytes() + Products::bytes(model.config.threads);
}

lorakeet_decoder_pass::lorakeet_decoder_pass(const Model& model)
    : model_(model), products_(model.device, model.config.threads), run_{model_, products_} {
  memory_.layers.resize(model.config.layers);
}

void lorakeet_decoder_pass::run_layer(uint32_t layer, bool again) {
  const LayerState& state = memory_.layers[layer];
  const LayerWeights& weights = model_.layers[layer];
  const CpuSteps steps{run_};
  layer_queries(steps, model_.config, weights, layer, state, memory_.normed);
  attend(run_, memory_.sequences, state.q, state.k, state.v, state.attended, state.log_sums);
  layer_gates(steps, weights, layer, state, memory_.normed);
  if (again) return;  // backward does not need what leaves the layer
  float* const output = layer + 1 < model_.config.layers ? memory_.layers[layer + 1].input : memory_.output;
  layer_output(steps, layer, state, memory_.product, output);
}

void lorakeet_decoder_pass::forward(const Adapter* adapter, const lorakeet_token_batch& batch,
                                    const lorakeet_forward_options& options, const float* coefficients,
                                    float* log_probabilities, uint32_t* labels) {
  const Targets* const targets = adapter ? &adapter->targets : nullptr;
  const PassSize size = pass_size(batch, options, targets);
  Carver measure;
  memory_.lay_out(measure, model_, targets, size);
  if (measure.bytes() > capacity_) {
    capacity_ = 0;
    block_ = LazyBlock();  // first, so that there are never two
    block_ = LazyBlock(measure.bytes());
    block_.use(measure.bytes());
    capacity_ = measure.bytes();
  }
  Carver carver(block_.data());
  memory_.lay_out(carver, model_, targets, size);
  size_ = size;
  lowest_ = size.backward ? targets->lowest_layer() : model_.config.layers;
  has_gradient_ = size.backward && coefficients;

  std::copy_n(batch.offsets, size.sequences + 1, memory_.offsets);
  std::copy_n(batch.positions, size.targets, memory_.positions);  // which may be null where there are none
  for (size_t s = 0; s < size.sequences; s++) {
    for (uint32_t row = batch.offsets[s]; row < batch.offsets[s + 1]; row++) {
      memory_.places[row] = row - batch.offsets[s];
    }
  }
  for (size_t i = 0; i < size.targets; i++) memory_.labels[i] = batch.tokens[batch.positions[i]];
  fill_angles(model_, 0, size.longest, memory_.cosines, memory_.sines);

  segment_ = {0, size.tokens, adapter};
  run_.rows = size.tokens;
  run_.positions = memory_.places;
  run_.cosines = memory_.cosines;
  run_.sines = memory_.sines;
  run_.segments = &segment_;
  run_.segment_count = 1;
  run_.dropout = make_dropout(adapter ? options.dropout : 0, options.dropout_seed);
  run_.hidden = memory_.lora;
  run_.hidden_numbers = memory_.hidden_numbers;
  run_.dropped = memory_.dropped;

  const size_t hidden = model_.config.hidden_size;
  float* const embedded = memory_.layers[0].input;
  for_rows(run_.threads(), size.tokens, hidden,
           [&](size_t row) { model_.embed(batch.tokens[row], embedded + row * hidden); });
  for (uint32_t layer = 0; layer < model_.config.layers; layer++) run_layer(layer, false);

  if (has_gradient_) memset(memory_.d, 0, size.tokens * hidden * sizeof(float));
  const Scoring scoring = {size.targets,
                           memory_.positions,
                           memory_.labels,
                           options.sample != 0,
                           options.sample_seed,
                           log_probabilities,
                           has_gradient_ ? coefficients : nullptr,
                           memory_.d};
  score(run_, memory_.output, scoring, memory_.head);
  std::copy_n(memory_.labels, size.targets, labels);
}

void lorakeet_decoder_pass::backward(Adapter& adapter, const float* coefficients) {
  if (!has_gradient_) {
    memset(memory_.d, 0, size_.tokens * model_.config.hidden_size * sizeof(float));
    const Scoring scoring = {size_.targets, memory_.positions, memory_.labels, false, 0,
                             nullptr,       coefficients,      memory_.d};
    score(run_, memory_.output, scoring, memory_.head);
  }
  const CpuSteps steps{run_, &adapter, &memory_.sequences, memory_.back.back};
  for (uint32_t layer = model_.config.layers; layer-- > lowest_;) {
    // the state that layers share still holds the last one
    if (size_.recompute && layer + 1 < model_.config.layers) run_layer(layer, true);
    layer_back(steps, model_.config, model_.layers[layer], adapter.targets, layer, memory_.layers[layer], memory_.back,
               memory_.d);
  }
}
