#include "pass.h"

#include "element_kernels.h"
#include "row_kernels.h"
#include "score_kernel.h"

using namespace lorakeet;
using namespace lorakeet::cuda;
using namespace lorakeet::cuda::decoder;

namespace {

template <class T>
void upload(Stream& stream, T* to, const T* from, size_t count) {
  if (count > 0) stream.upload(to, from, count * sizeof(T));
}

template <class T>
void upload(Stream& stream, T* to, const std::vector<T>& from) {
  upload(stream, to, from.data(), from.size());
}

template <class T>
void download(Stream& stream, T* to, const T* from, size_t count) {
  if (count > 0) stream.download(to, from, count * sizeof(T));
}

}  // namespace

lorakeet_decoder_pass::lorakeet_decoder_pass(const lorakeet_decoder_model& model) : model_(model) {
  memory_.layers.resize(model.config.layers);
}

// Sends what describes the batch.
void lorakeet_decoder_pass::place_batch(const lorakeet_token_batch& batch, Stream& stream) {
  std::vector<uint32_t> places(size_.tokens), labels(size_.targets), sources(size_.targets);
  tiles_.clear();
  back_tiles_.clear();
  key_tiles_.clear();
  for (size_t s = 0; s < size_.sequences; s++) {
    const uint32_t start = batch.offsets[s], length = batch.offsets[s + 1] - start;
    for (uint32_t i = 0; i < length; i++) places[start + i] = i;
    add_query_tiles(memory_.shape, start, length, 0, start, &tiles_);
    if (!size_.backward) continue;
    add_query_tiles(memory_.back_shape, start, length, 0, start, &back_tiles_);
    add_key_tiles(memory_.back_shape, start, length, &key_tiles_);
  }
  for (size_t i = 0; i < size_.targets; i++) {
    labels[i] = batch.tokens[batch.positions[i]];
    sources[i] = batch.positions[i] - 1;
  }
  upload(stream, memory_.tokens, batch.tokens, size_.tokens);
  upload(stream, memory_.places, places);
  upload(stream, memory_.labels, labels);
  upload(stream, memory_.sources, sources);
  upload(stream, memory_.tiles, tiles_);
  upload(stream, memory_.back_tiles, back_tiles_);
  upload(stream, memory_.key_tiles, key_tiles_);
  stream.synchronize();  // before these arrays go
}

Run lorakeet_decoder_pass::make_run(Engine& engine, const DecoderAdapter* adapter) const {
  Run run{model_, engine};
  run.products = memory_.products;
  run.rows = size_.tokens;
  run.places = memory_.places;
  run.cosines = memory_.cosines;
  run.sines = memory_.sines;
  run.segments = {{0, size_.tokens, adapter}};
  run.dropout = dropout_;
  run.hidden = memory_.lora;
  run.hidden_numbers = memory_.hidden_numbers;
  run.dropped = memory_.dropped;
  return run;
}

void lorakeet_decoder_pass::run_layer(const Run& run, uint32_t layer, bool again) const {
  const auto& config = model_.config;
  const LayerState& state = memory_.layers[layer];
  const LayerWeights& weights = model_.layers[layer];
  const DeviceSteps steps{run};
  layer_queries(steps, config, weights, layer, state, memory_.normed);
  run.launch(Attend{memory_.shape, memory_.tiles, state.q, state.k, state.v, state.attended, state.log_sums},
             tiles_.size() * config.key_value_heads);
  layer_gates(steps, weights, layer, state, memory_.normed);
  if (again) return;  // backward does not need what leaves the layer
  float* const output = layer + 1 < config.layers ? memory_.layers[layer + 1].input : memory_.output;
  layer_output(steps, layer, state, memory_.product, output);
}

// The logits of a batch would be larger than the model: only those of targets, a few rows at a time.
void lorakeet_decoder_pass::score(const Run& run, const Scoring& scoring) const {
  const auto& config = model_.config;
  const size_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  const float* const coefficients = scoring.has_gradient ? memory_.coefficients : nullptr;
  if (coefficients) {
    run.launch(FillZeros{memory_.d, size_.tokens * hidden}, stretches(size_.tokens * hidden));
  }
  for (size_t first = 0; first < size_.targets; first += memory_.head_rows) {
    const size_t rows = std::min(memory_.head_rows, size_.targets - first);
    const uint32_t* const sources = memory_.sources + first;
    run.launch(NormalizeRows{memory_.output, model_.final_norm, config.rms_norm_eps, config.hidden_size,
                             memory_.head_hidden, sources},
               rows);
    const Output logits = {model_.head, memory_.logits};
    multiply_weights(run, memory_.head_hidden, rows, &logits, 1, false);
    run.launch(ScoreRows{memory_.logits, static_cast<uint32_t>(vocabulary), first, memory_.labels, scoring.draw,
                         scoring.draw_seed, memory_.log_probabilities, coefficients},
               rows);
    if (!coefficients) continue;
    multiply_back(run, memory_.logits, rows, model_.head, memory_.d_head_hidden, false);
    run.launch(NormalizeBackRows{memory_.output, model_.final_norm, config.rms_norm_eps, config.hidden_size,
                                 memory_.d_head_hidden, memory_.d, sources, 0},
               rows);
  }
}

void lorakeet_decoder_pass::forward(const DecoderAdapter* adapter, const lorakeet_token_batch& batch,
                                    const lorakeet_forward_options& options, const float* coefficients,
                                    float* log_probabilities, uint32_t* labels) {
  const Targets* const targets = adapter ? &adapter->targets : nullptr;
  size_ = pass_size(batch, options, targets);
  Carver measure;
  memory_.lay_out(measure, model_, targets, size_);
  Carver carver(block_.reserve(measure.bytes()));
  memory_.lay_out(carver, model_, targets, size_);
  lowest_ = size_.backward ? targets->lowest_layer() : model_.config.layers;
  has_gradient_ = size_.backward && coefficients;
  dropout_ = make_dropout(adapter ? options.dropout : 0, options.dropout_seed);

  const EngineLease engine;
  Stream& stream = engine->stream;
  place_batch(batch, stream);
  if (has_gradient_) upload(stream, memory_.coefficients, coefficients, size_.targets);
  const Run run = make_run(*engine, adapter);
  const uint32_t half = model_.config.head_dim / 2;
  run.launch(FillAngles{model_.inverse_frequencies, half, memory_.cosines, memory_.sines}, size_.longest);
  run.launch(EmbedRows{numbers_of(model_.embedding), memory_.tokens, memory_.layers[0].input}, run.rows);
  for (uint32_t layer = 0; layer < model_.config.layers; layer++) run_layer(run, layer, false);
  score(run, {options.sample != 0, options.sample_seed, has_gradient_});
  download(stream, log_probabilities, memory_.log_probabilities, size_.targets);
  download(stream, labels, memory_.labels, size_.targets);
  stream.synchronize();
}

void lorakeet_decoder_pass::backward(DecoderAdapter& adapter, const float* coefficients) {
  const size_t parameters = adapter.targets.parameters();
  const EngineLease engine;
  const Run run = make_run(*engine, &adapter);
  if (!has_gradient_) {
    upload(engine->stream, memory_.coefficients, coefficients, size_.targets);
    score(run, {false, 0, true});
  }
  const BackwardTiles tiles = {memory_.back_shape, memory_.back_tiles, memory_.key_tiles,
                               back_tiles_.size(), key_tiles_.size(),  memory_.along};
  const DeviceSteps steps{run, &adapter, memory_.gradient, &tiles, memory_.back.back};
  for (uint32_t layer = model_.config.layers; layer-- > lowest_;) {
    // the state that layers share still holds the last one
    if (size_.recompute && layer + 1 < model_.config.layers) run_layer(run, layer, true);
    layer_back(steps, model_.config, model_.layers[layer], adapter.targets, layer, memory_.layers[layer], memory_.back,
               memory_.d);
  }
  engine->stream.synchronize();
  // Only now, in one launch: whatever failed before has left the adapter's gradient alone.
  run.launch(CopyNumbers{memory_.gradient, adapter.vector(LORAKEET_GRADIENT), parameters, 1}, stretches(parameters));
  engine->stream.synchronize();
}
