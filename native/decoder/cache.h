// Keys and values of sequences that grow, and the forward that appends to them.
#pragma once

#include <vector>

#include "../cpu/memory.h"
#include "attention.h"
#include "carver.h"
#include "layers.h"

namespace lorakeet {

// The arrays of a cache, in one block.
struct CacheMemory {
  float *keys, *values;  // [layers × sequences × key-value heads × positions × dim]
  float *cosines, *sines;
  LayerState state;  // of at most `rows` rows
  uint32_t* places;
  float *normed, *product, *scores, *lora;
  float* last;  // [sequences × hidden]: after the last token of each entry
  size_t rows;

  void lay_out(Carver& carver, const Model& model, size_t sequences, size_t positions);
};

// What a cache takes at most.
uint64_t cache_bytes(const Model& model, size_t sequences, size_t positions);

}  // namespace lorakeet

struct lorakeet_decoder_cache {
  // Throws std::bad_alloc, as nothing else does.
  lorakeet_decoder_cache(const lorakeet::Model& model, uint32_t sequences, uint32_t positions);

  void truncate(uint32_t sequence, uint32_t length) { lengths_[sequence] = length; }
  void decode(const lorakeet_decode_entry* entries, uint32_t count, const uint32_t* tokens, float* logits);

 private:
  // Rows of one entry that are worked on together.
  struct Part {
    size_t first, rows;  // in the arrays of rows
    uint32_t sequence;
    uint32_t position;  // of the first
  };

  float* head_of(float* rows, uint32_t layer, uint32_t sequence, size_t head) const;
  void run_layers(const uint32_t* tokens, size_t rows);
  void attend(uint32_t layer);
  void keep(uint32_t layer);
  void write_logits(uint32_t count, float* logits);

  const lorakeet::Model& model_;
  const uint32_t sequences_, positions_;
  lorakeet::Products products_;
  lorakeet::Run run_;
  lorakeet::CacheMemory memory_;
  lorakeet::LazyBlock block_;
  size_t angles_ = 0;  // positions whose cosines and sines are there
  std::vector<uint32_t> lengths_;
  std::vector<Part> parts_;
  std::vector<lorakeet::Segment> segments_;
};

namespace lorakeet {
using Cache = ::lorakeet_decoder_cache;
}
