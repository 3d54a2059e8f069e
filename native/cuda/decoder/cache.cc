#include "cache.h"

#include <string.h>

#include "engine.h"
#include "row_kernels.h"
#include "steps.h"

using namespace lorakeet;
using namespace lorakeet::cuda;
using namespace lorakeet::cuda::decoder;

namespace {

// Rows that pass through the layers together, numbers of loraA · x, and logits, that are there at the same time.
constexpr size_t kRows = 1024, kHidden = 64 * LORAKEET_MAX_LORA_RANK, kLogits = size_t{1} << 25, kFewestHeadRows = 16;

size_t most_inputs(const lorakeet_decoder_config& config, size_t rows, size_t sequences) {
  const size_t group = config.heads / config.key_value_heads;
  return 3 * rows + sequences + rows * group * sizeof(QueryTile) / sizeof(uint32_t);
}

}  // namespace

void CacheMemory::lay_out(Carver& carver, const DecoderModel& model, size_t sequences, size_t positions) {
  const auto& config = model.config;
  const size_t hidden = config.hidden_size, q_width = model.query_width(), k_width = model.key_width();
  const auto numbers = [&carver](size_t count, size_t each = 1) { return carver.take<float>(count, each); };
  rows = std::min(kRows, sequences * positions);
  head_rows = std::min(sequences, std::max(kFewestHeadRows, kLogits / config.vocab_size));
  keys = numbers(config.layers * sequences, positions * k_width);
  values = numbers(config.layers * sequences, positions * k_width);
  cosines = numbers(positions, config.head_dim / 2);
  sines = numbers(positions, config.head_dim / 2);
  inputs = carver.take<uint32_t>(most_inputs(config, rows, sequences));
  state = {};
  state.input = state.middle = numbers(rows, hidden);
  state.q_plain = config.query_key_norms ? numbers(rows, q_width) : nullptr;
  state.k_plain = config.query_key_norms ? numbers(rows, k_width) : nullptr;
  state.q = numbers(rows, q_width);
  state.k = numbers(rows, k_width);
  state.v = numbers(rows, k_width);
  state.attended = numbers(rows, q_width);
  state.gate = numbers(rows, config.intermediate_size);
  state.up = numbers(rows, config.intermediate_size);
  normed = numbers(rows, hidden);
  product = numbers(rows, config.intermediate_size);
  lora = numbers(kHidden);
  last = numbers(sequences, hidden);
  logits = numbers(head_rows, config.vocab_size);
  const size_t width = std::max<size_t>({hidden, config.intermediate_size, q_width});
  products.lay_out(carver, model, std::max(rows, head_rows) * width);
}

uint64_t decoder::cache_bytes(const DecoderModel& model, size_t sequences, size_t positions) {
  Carver measure;
  CacheMemory memory;
  memory.lay_out(measure, model, sequences, positions);
  return measure.bytes() + Blas::kWorkspaceBytes;
}

lorakeet_decoder_cache::lorakeet_decoder_cache(const DecoderModel& model, uint32_t sequences, uint32_t positions)
    : model_(model), sequences_(sequences), positions_(positions), lengths_(sequences) {
  Carver measure;
  memory_.lay_out(measure, model, sequences, positions);
  Carver carver(block_.reserve(measure.bytes()));
  memory_.lay_out(carver, model, sequences, positions);
  const EngineLease engine;
  launch(engine->stream,
         FillAngles{model.inverse_frequencies, model.config.head_dim / 2, memory_.cosines, memory_.sines}, positions);
  engine->stream.synchronize();
}

// Sends what describes the parts in one copy: [tokens | places | rows of keys | last rows of entries | tiles].
void lorakeet_decoder_cache::run_layers(Run& run, const uint32_t* tokens, uint32_t first_entry) {
  const auto& config = model_.config;
  const size_t rows = run.rows;
  uint32_t longest = 0;
  for (const Part& part : parts_) longest = std::max(longest, part.rows);
  const AttentionShape shape =
      attention_shape(config, std::min<uint32_t>(longest, 64) * (config.heads / config.key_value_heads), false);
  inputs_.assign(tokens, tokens + rows);
  inputs_.resize(3 * rows);
  std::vector<QueryTile> tiles;
  std::vector<uint32_t> ends;
  for (const Part& part : parts_) {
    const uint32_t key_row = part.sequence * positions_;
    for (uint32_t i = 0; i < part.rows; i++) {
      inputs_[rows + part.first + i] = part.position + i;
      inputs_[2 * rows + part.first + i] = key_row + part.position + i;
    }
    add_query_tiles(shape, part.first, part.rows, part.position, key_row, &tiles);
    if (part.ends) ends.push_back(part.first + part.rows - 1);
  }
  inputs_.insert(inputs_.end(), ends.begin(), ends.end());
  const size_t tiles_at = inputs_.size();
  inputs_.resize(tiles_at + tiles.size() * sizeof(QueryTile) / sizeof(uint32_t));
  memcpy(inputs_.data() + tiles_at, tiles.data(), tiles.size() * sizeof(QueryTile));
  run.engine.stream.upload(memory_.inputs, inputs_.data(), inputs_.size() * sizeof(uint32_t));

  run.places = memory_.inputs + rows;
  const uint32_t *const key_rows = memory_.inputs + 2 * rows, *const last_rows = memory_.inputs + 3 * rows;
  const QueryTile* const device_tiles = reinterpret_cast<const QueryTile*>(memory_.inputs + tiles_at);
  const LayerState& state = memory_.state;
  const uint32_t width = static_cast<uint32_t>(model_.key_width());
  const DeviceSteps steps{run};
  run.launch(EmbedRows{numbers_of(model_.embedding), memory_.inputs, state.input}, rows);
  for (uint32_t layer = 0; layer < config.layers; layer++) {
    const LayerWeights& weights = model_.layers[layer];
    float* const keys = memory_.keys + size_t{layer} * sequences_ * positions_ * width;
    float* const values = memory_.values + size_t{layer} * sequences_ * positions_ * width;
    layer_queries(steps, config, weights, layer, state, memory_.normed);
    run.launch(ScatterRows{state.k, key_rows, width, keys}, rows);
    run.launch(ScatterRows{state.v, key_rows, width, values}, rows);
    run.launch(Attend{shape, device_tiles, state.q, keys, values, state.attended, nullptr},
               tiles.size() * config.key_value_heads);
    layer_gates(steps, weights, layer, state, memory_.normed);
    layer_output(steps, layer, state, memory_.product, state.input);
  }
  run.launch(NormalizeRows{state.input, model_.final_norm, config.rms_norm_eps, config.hidden_size,
                           memory_.last + size_t{first_entry} * config.hidden_size, last_rows},
             ends.size());
}

void lorakeet_decoder_cache::write_logits(const Run& run, uint32_t count, float* logits) {
  const size_t hidden = model_.config.hidden_size, vocabulary = model_.config.vocab_size;
  for (size_t first = 0; first < count; first += memory_.head_rows) {
    const size_t rows = std::min<size_t>(memory_.head_rows, count - first);
    const Output output = {model_.head, memory_.logits};
    multiply_weights(run, memory_.last + first * hidden, rows, &output, 1, false);
    run.engine.stream.download(logits + first * vocabulary, memory_.logits, rows * vocabulary * sizeof(float));
  }
}

void lorakeet_decoder_cache::decode(const lorakeet_decode_entry* entries, uint32_t count, const uint32_t* tokens,
                                    float* logits) {
  const EngineLease engine;
  Run run{model_, *engine};
  run.products = memory_.products;
  run.cosines = memory_.cosines;
  run.sines = memory_.sines;
  run.hidden = memory_.lora;
  run.hidden_numbers = kHidden;
  uint32_t entry = 0, done = 0;  // entries before this one, and of its own tokens so many, have been worked on
  while (entry < count) {
    const uint32_t first_entry = entry;
    run.rows = 0;
    run.segments.clear();
    parts_.clear();
    while (entry < count && run.rows < memory_.rows) {
      const lorakeet_decode_entry& own = entries[entry];
      const size_t taken = std::min<size_t>(own.tokens - done, memory_.rows - run.rows);
      const uint32_t position = lengths_[own.sequence] + done;
      if (!run.segments.empty() && run.segments.back().adapter == own.adapter) {
        run.segments.back().rows += taken;
      } else {
        run.segments.push_back({run.rows, taken, own.adapter});
      }
      done += static_cast<uint32_t>(taken);
      parts_.push_back(
          {static_cast<uint32_t>(run.rows), static_cast<uint32_t>(taken), own.sequence, position, done == own.tokens});
      run.rows += taken;
      if (done < own.tokens) break;
      entry++;
      done = 0;
    }
    run_layers(run, tokens, first_entry);
    tokens += run.rows;
  }
  write_logits(run, count, logits);
  engine->stream.synchronize();
  for (uint32_t i = 0; i < count; i++) lengths_[entries[i].sequence] += entries[i].tokens;
}
