// Keys and values of sequences that grow, on the device, and the forward that appends to them.
#pragma once

#include "../../decoder/layers.h"
#include "products.h"
#include "tiles.h"

namespace lorakeet::cuda::decoder {

// The device memory of a cache, in one block.
struct CacheMemory {
  float *keys, *values;  // [layers × sequences × positions × key-value heads · dim]
  float *cosines, *sines;
  uint32_t* inputs;  // what describes the rows: see CacheInputs
  LayerState state;  // of at most `rows` rows
  float *normed, *product, *lora;
  float* last;    // [sequences × hidden]: after the last token of each entry, normalised
  float* logits;  // [head_rows × vocabulary]
  ProductMemory products;
  size_t rows, head_rows;

  void lay_out(Carver& carver, const DecoderModel& model, size_t sequences, size_t positions);
};

// What a cache takes at most.
uint64_t cache_bytes(const DecoderModel& model, size_t sequences, size_t positions);

}  // namespace lorakeet::cuda::decoder

struct lorakeet_decoder_cache {
  // These throw Failure and std::bad_alloc.
  lorakeet_decoder_cache(const lorakeet_decoder_model& model, uint32_t sequences, uint32_t positions);
  void decode(const lorakeet_decode_entry* entries, uint32_t count, const uint32_t* tokens, float* logits);

  void truncate(uint32_t sequence, uint32_t length) { lengths_[sequence] = length; }

 private:
  // Rows of one entry that are worked on together.
  struct Part {
    uint32_t first, rows;  // in the arrays of rows
    uint32_t sequence;
    uint32_t position;  // of the first
    bool ends;          // with the last token of its entry
  };

  void run_layers(lorakeet::cuda::decoder::Run& run, const uint32_t* tokens, uint32_t first_entry);
  void write_logits(const lorakeet::cuda::decoder::Run& run, uint32_t count, float* logits);

  const lorakeet_decoder_model& model_;
  const uint32_t sequences_, positions_;
  lorakeet::cuda::decoder::CacheMemory memory_{};
  lorakeet::cuda::Buffer<lorakeet::cuda::OnDevice> block_;
  std::vector<uint32_t> lengths_, inputs_;
  std::vector<Part> parts_;
};
