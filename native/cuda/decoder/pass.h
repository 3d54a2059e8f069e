// Scoring and learning on packed sequences: a forward, and the backward for what it kept.
#pragma once

#include "pass_memory.h"
#include "steps.h"

struct lorakeet_decoder_pass {
  explicit lorakeet_decoder_pass(const lorakeet_decoder_model& model);

  // These throw Failure and std::bad_alloc. After a forward that did, nothing is kept any more; a backward that did has
  // changed no gradient.
  void forward(const lorakeet_decoder_adapter* adapter, const lorakeet_token_batch& batch,
               const lorakeet_forward_options& options, const float* coefficients, float* log_probabilities,
               uint32_t* labels);
  // For the forward before, which kept something and had this adapter.
  void backward(lorakeet_decoder_adapter& adapter, const float* coefficients);

 private:
  struct Scoring {
    bool draw;
    uint64_t draw_seed;
    bool has_gradient;
  };

  void place_batch(const lorakeet_token_batch& batch, lorakeet::cuda::Stream& stream);
  lorakeet::cuda::decoder::Run make_run(lorakeet::cuda::decoder::Engine& engine,
                                        const lorakeet_decoder_adapter* adapter) const;
  void run_layer(const lorakeet::cuda::decoder::Run& run, uint32_t layer, bool again) const;
  void score(const lorakeet::cuda::decoder::Run& run, const Scoring& scoring) const;

  const lorakeet_decoder_model& model_;
  lorakeet::PassSize size_{};
  lorakeet::cuda::decoder::PassMemory memory_{};
  lorakeet::cuda::Buffer<lorakeet::cuda::OnDevice> block_;
  std::vector<lorakeet::cuda::decoder::QueryTile> tiles_, back_tiles_;
  std::vector<lorakeet::cuda::decoder::KeyTile> key_tiles_;
  lorakeet::Dropout dropout_{};
  uint32_t lowest_ = 0;
  bool has_gradient_ = false;  // forward has had the coefficients
};
