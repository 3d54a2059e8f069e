// What the checks of the decoder share: models with seeded weights on any table, and what is done with them.
#pragma once

#include <map>
#include <memory>

#include "lorakeet/decoder.h"
#include "support.h"

using Doubles = std::vector<double>;

// Ends the program when a call fails that should not.
void must(lorakeet_status status, const char* operation);

struct ModelShape {
  uint32_t vocabulary, hidden, intermediate, layers, heads, key_heads, dim;
  uint32_t biases = 0, query_key_norms = 0, tied = 0;
  uint32_t weights = LORAKEET_WEIGHTS_F32, arithmetic = LORAKEET_ARITHMETIC_F32;
  float epsilon = 1e-5f;
  Doubles frequencies{};  // of dim / 2; empty: those of base 10000
};

class DecoderUnderTest {
 public:
  DecoderUnderTest(const lorakeet_decoder& decoder, const ModelShape& shape);
  ~DecoderUnderTest() { table.destroy_model(model); }
  DecoderUnderTest(const DecoderUnderTest&) = delete;
  DecoderUnderTest& operator=(const DecoderUnderTest&) = delete;

  // Weights that depend on nothing but their place; or one block of bf16 again and again, for timing.
  void fill_weights();
  void repeat_weights();
  void write(uint32_t layer, uint32_t tensor, const Floats& values);

  const lorakeet_decoder& table;
  const ModelShape shape;
  lorakeet_decoder_model* model = nullptr;

 private:
  // use(layer, tensor, rows, columns, whether it is a norm) for every tensor of the model
  template <class Use>
  void for_tensors(Use use) const;
};

// Every module of every layer, or those of `modules` (bits), all of one rank.
std::vector<lorakeet_lora_target> targets_of(const ModelShape& shape, uint32_t rank, float scaling,
                                             uint32_t modules = (1 << LORAKEET_MODULES) - 1);
uint64_t parameters_of(const ModelShape& shape, const std::vector<lorakeet_lora_target>& targets);

class AdapterUnderTest {
 public:
  AdapterUnderTest(const DecoderUnderTest& of, const std::vector<lorakeet_lora_target>& targets, bool train);
  ~AdapterUnderTest() { table.destroy_adapter(handle); }
  AdapterUnderTest(const AdapterUnderTest&) = delete;
  AdapterUnderTest& operator=(const AdapterUnderTest&) = delete;

  void write(uint32_t vector, const Floats& values);
  Floats read(uint32_t vector) const;

  const lorakeet_decoder& table;
  const uint64_t parameters;
  lorakeet_decoder_adapter* handle = nullptr;
};

// Sequences packed one after another; without positions, every token but the first of each is a target.
struct TestBatch {
  explicit TestBatch(const std::vector<Ids>& sequences);
  lorakeet_token_batch view() const;

  Ids tokens, offsets{0}, positions;
};
TestBatch random_batch(Random& random, const Ids& lengths, uint32_t vocabulary);

// Forward and backward; the gradient is read from the adapter.
struct Learnt {
  Floats log_probabilities;
  Ids labels;
};
Learnt learn(const DecoderUnderTest& model, AdapterUnderTest& adapter, const TestBatch& batch,
             const Floats& coefficients, lorakeet_forward_options options, bool coefficients_first);

// The checks themselves.
using Numbers = std::map<std::string, Doubles>;
void check_decoder_goldens(const lorakeet_decoder& decoder, Checks& checks, const char* file);
void check_against_oracle(const lorakeet_decoder& decoder, const lorakeet_decoder& oracle, Checks& checks, bool small);
void time_decoder(const lorakeet_decoder& decoder, double seconds);
