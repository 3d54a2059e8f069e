#include "cache.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "spread.h"
#include "steps.h"

using namespace lorakeet;

namespace {

// Rows that pass through the layers together: enough for matrix products to be worth their while, few enough for the
// working memory to stay small beside the model.
constexpr size_t kRows = 256;
// Numbers of loraA · x that are there at the same time.
constexpr size_t kHidden = 16 * LORAKEET_MAX_LORA_RANK;
// Up to so many queries, keys are gone through one query at a time.
constexpr size_t kFewQueries = 4;

}  // namespace

void CacheMemory::lay_out(Carver& carver, const Model& model, size_t sequences, size_t positions) {
  const auto& config = model.config;
  const size_t hidden = config.hidden_size, q_width = model.query_width(), k_width = model.key_width();
  const auto numbers = [&carver](size_t count, size_t each = 1) { return carver.take<float>(count, each); };
  rows = std::min(kRows, sequences * positions);
  keys = numbers(config.layers * sequences, positions * k_width);
  values = numbers(config.layers * sequences, positions * k_width);
  cosines = numbers(positions, config.head_dim / 2);
  sines = numbers(positions, config.head_dim / 2);
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
  lora = numbers(kHidden);
  places = carver.take<uint32_t>(rows);
  normed = numbers(std::max(rows, sequences), hidden);
  product = numbers(rows, config.intermediate_size);
  scores = numbers(config.threads * kQueryBlock, positions);
  last = numbers(sequences, hidden);
}

uint64_t lorakeet::cache_bytes(const Model& model, size_t sequences, size_t positions) {
  Carver measure;
  CacheMemory memory;
  memory.lay_out(measure, model, sequences, positions);
  return measure.bytes() + Products::bytes(model.config.threads);
}

lorakeet_decoder_cache::lorakeet_decoder_cache(const Model& model, uint32_t sequences, uint32_t positions)
    : model_(model),
      sequences_(sequences),
      positions_(positions),
      products_(model.device, model.config.threads),
      run_{model_, products_},
      lengths_(sequences) {
  Carver measure;
  memory_.lay_out(measure, model, sequences, positions);
  block_ = LazyBlock(measure.bytes());
  block_.use(measure.bytes());
  Carver carver(block_.data());
  memory_.lay_out(carver, model, sequences, positions);
  parts_.reserve(sequences);
  segments_.reserve(sequences);
}

float* lorakeet_decoder_cache::head_of(float* rows, uint32_t layer, uint32_t sequence, size_t head) const {
  const auto& config = model_.config;
  const size_t place = (size_t{layer} * sequences_ + sequence) * config.key_value_heads + head;
  return rows + place * positions_ * config.head_dim;
}

// The new keys and values of a layer go behind those of their sequences, head by head.
void lorakeet_decoder_cache::keep(uint32_t layer) {
  const size_t dim = model_.config.head_dim, heads = model_.config.key_value_heads;
  for (const Part& part : parts_) {
    for_rows(run_.threads(), part.rows, 2 * heads * dim, [&](size_t row) {
      for (size_t head = 0; head < heads; head++) {
        const size_t from = ((part.first + row) * heads + head) * dim, to = (part.position + row) * dim;
        memcpy(head_of(memory_.keys, layer, part.sequence, head) + to, memory_.state.k + from, dim * sizeof(float));
        memcpy(head_of(memory_.values, layer, part.sequence, head) + to, memory_.state.v + from, dim * sizeof(float));
      }
    });
  }
}

void lorakeet_decoder_cache::attend(uint32_t layer) {
  const auto& config = model_.config;
  const size_t dim = config.head_dim, heads = config.heads, group = heads / config.key_value_heads;
  const size_t width = model_.query_width();
  const float scale = 1.0f / sqrtf(static_cast<float>(dim));
  size_t work = 0;
  for (const Part& part : parts_) work += part.rows * (part.position + part.rows) * dim;
  // a task is one head of one part
  const size_t grain = 32768 * parts_.size() / (work ? work : 1) + 1;
  spread(run_.threads(), parts_.size() * heads, grain, [&](uint32_t worker, size_t task, size_t last) {
    float* const scores = memory_.scores + worker * kQueryBlock * positions_;
    for (; task < last; task++) {
      const Part& part = parts_[task / heads];
      const size_t head = task % heads, at = part.first * width + head * dim;
      const float* const keys = head_of(memory_.keys, layer, part.sequence, head / group);
      const float* const values = head_of(memory_.values, layer, part.sequence, head / group);
      const float* const q = memory_.state.q + at;
      float* const out = memory_.state.attended + at;
      if (part.rows > kFewQueries) {
        const HeadRows rows = {q, keys, values, width, dim, dim, part.position, part.rows};
        attend_rows(run_, worker, rows, out, width, nullptr, 0, scores);
        continue;
      }
      for (size_t row = 0; row < part.rows; row++) {
        run_.kernels().attend(q + row * width, keys, values, part.position + row + 1, dim, scale, scores,
                              out + row * width);
      }
    }
  });
}

void lorakeet_decoder_cache::run_layers(const uint32_t* tokens, size_t rows) {
  const size_t hidden = model_.config.hidden_size;
  run_.rows = rows;
  run_.positions = memory_.places;
  run_.cosines = memory_.cosines;
  run_.sines = memory_.sines;
  run_.hidden = memory_.lora;
  run_.hidden_numbers = kHidden;
  run_.segments = segments_.data();
  run_.segment_count = segments_.size();
  const LayerState& state = memory_.state;
  for_rows(run_.threads(), rows, hidden, [&](size_t row) { model_.embed(tokens[row], state.input + row * hidden); });
  const CpuSteps steps{run_};
  for (uint32_t layer = 0; layer < model_.config.layers; layer++) {
    const LayerWeights& weights = model_.layers[layer];
    layer_queries(steps, model_.config, weights, layer, state, memory_.normed);
    keep(layer);
    attend(layer);
    layer_gates(steps, weights, layer, state, memory_.normed);
    layer_output(steps, layer, state, memory_.product, state.input);
  }
}

void lorakeet_decoder_cache::write_logits(uint32_t count, float* logits) {
  const size_t hidden = model_.config.hidden_size;
  for (uint32_t i = 0; i < count; i++) {
    run_.kernels().normalize(memory_.last + i * hidden, model_.final_norm, model_.config.rms_norm_eps, hidden,
                             memory_.normed + i * hidden);
  }
  const Projection head = {model_.head, logits, model_.config.vocab_size};
  products_.project(memory_.normed, hidden, count, &head, 1, false, model_.arithmetic);
}

void lorakeet_decoder_cache::decode(const lorakeet_decode_entry* entries, uint32_t count, const uint32_t* tokens,
                                    float* logits) {
  const size_t hidden = model_.config.hidden_size;
  uint32_t entry = 0, done = 0;  // entries before this one, and of its own tokens so many, have been worked on
  while (entry < count) {
    size_t rows = 0;
    const uint32_t first_entry = entry;
    parts_.clear();
    segments_.clear();
    while (entry < count && rows < memory_.rows) {
      const lorakeet_decode_entry& own = entries[entry];
      const size_t taken = std::min<size_t>(own.tokens - done, memory_.rows - rows);
      const uint32_t position = lengths_[own.sequence] + done;
      parts_.push_back({rows, taken, own.sequence, position});
      if (!segments_.empty() && segments_.back().adapter == own.adapter) {
        segments_.back().rows += taken;
      } else {
        segments_.push_back({rows, taken, own.adapter});
      }
      for (size_t i = 0; i < taken; i++) memory_.places[rows + i] = position + static_cast<uint32_t>(i);
      rows += taken;
      done += static_cast<uint32_t>(taken);
      if (done < own.tokens) break;
      entry++;
      done = 0;
    }
    size_t needed = 0;
    for (const Part& part : parts_) needed = std::max(needed, part.position + part.rows);
    if (needed > angles_) {
      fill_angles(model_, angles_, needed, memory_.cosines, memory_.sines);
      angles_ = needed;
    }
    run_layers(tokens, rows);
    tokens += rows;
    for (uint32_t i = first_entry; i < entry; i++) {
      const Part& part = parts_[i - first_entry];
      memcpy(memory_.last + i * hidden, memory_.state.input + (part.first + part.rows - 1) * hidden,
             hidden * sizeof(float));
    }
  }
  write_logits(count, logits);
  for (uint32_t i = 0; i < count; i++) lengths_[entries[i].sequence] += entries[i].tokens;
}
