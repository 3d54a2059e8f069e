// The decoder against the C++ one on the processor, which other tests hold against PyTorch, for shapes that the goldens
// do not have: many tiles of attention, more rows than are worked on at a time, every storage and arithmetic.
#include <string.h>

#include "decoder_support.h"

namespace {

struct Budgets {
  double log_probability, gradient;  // absolute; relative to the largest
};

constexpr Budgets kFloat = {1e-4, 5e-4}, kRounded = {0.1, 0.15};

Doubles doubles(const Floats& values) { return Doubles(values.begin(), values.end()); }

void near(Checks& checks, const std::string& what, const Floats& got, const Floats& want, double limit) {
  checks.near(what, got.data(), doubles(want).data(), want.size(), limit);
}

double most(const Floats& values) { return largest(doubles(values).data(), values.size()); }

// One side of a comparison.
struct Side {
  Side(const lorakeet_decoder& decoder, const ModelShape& shape, uint32_t rank) : model(decoder, shape) {
    model.fill_weights();
    for (uint32_t i = 0; i < 2; i++) {
      adapters.push_back(std::make_unique<AdapterUnderTest>(model, targets_of(shape, rank, 0.75f), true));
      Random random(100 + i);
      adapters[i]->write(LORAKEET_PARAMETERS, random.uniforms(adapters[i]->parameters, -0.1, 0.1));
    }
  }
  DecoderUnderTest model;
  std::vector<std::unique_ptr<AdapterUnderTest>> adapters;
};

void check_learning(const std::string& name, Side& device, Side& oracle, Checks& checks, const Ids& lengths,
                    const Budgets& budgets) {
  Random random(7);
  const TestBatch batch = random_batch(random, lengths, device.model.shape.vocabulary);
  const Floats coefficients = random.uniforms(batch.positions.size(), -0.01, 0.01);
  const Floats zeros(device.adapters[0]->parameters);
  const bool exact = &budgets == &kFloat;  // else a label that is drawn may be another
  for (const bool recompute : {false, true}) {
    for (const bool first : {false, true}) {
      lorakeet_forward_options options = {};
      options.recompute = recompute;
      options.sample = exact;
      options.sample_seed = 3;
      options.dropout = 0.2;
      options.dropout_seed = 5;
      Learnt learnt[2];
      Floats gradients[2];
      int i = 0;
      for (Side* side : {&device, &oracle}) {
        side->adapters[0]->write(LORAKEET_GRADIENT, zeros);
        learnt[i] = learn(side->model, *side->adapters[0], batch, coefficients, options, first);
        gradients[i++] = side->adapters[0]->read(LORAKEET_GRADIENT);
      }
      const std::string what = name + (recompute ? ", recomputing" : "") + (first ? ", coefficients first" : "");
      if (exact) checks.expect(learnt[0].labels == learnt[1].labels, "%s: other labels", what.c_str());
      near(checks, what + ": log-probabilities", learnt[0].log_probabilities, learnt[1].log_probabilities,
           budgets.log_probability);
      near(checks, what + ": gradient", gradients[0], gradients[1], budgets.gradient * most(gradients[1]));
      device.adapters[0]->write(LORAKEET_GRADIENT, zeros);
      learn(device.model, *device.adapters[0], batch, coefficients, options, first);
      checks.equal(what + ": again", device.adapters[0]->read(LORAKEET_GRADIENT), gradients[0]);
    }
  }
}

// A prompt for each sequence, of different lengths, then one token each; adapters in turn.
void check_decoding(const std::string& name, Side& device, Side& oracle, Checks& checks, const Ids& lengths,
                    const Budgets& budgets) {
  Random random(8);
  const uint32_t count = static_cast<uint32_t>(lengths.size()), vocabulary = device.model.shape.vocabulary;
  uint32_t longest = 0;
  for (const uint32_t length : lengths) longest = length > longest ? length : longest;
  lorakeet_decoder_cache* caches[2] = {};
  const Side* const sides[2] = {&device, &oracle};
  for (int i = 0; i < 2; i++) {
    must(sides[i]->model.table.create_cache(sides[i]->model.model, count, longest + 3, &caches[i]), "create_cache");
  }
  for (int round = 0; round < 4; round++) {
    Ids tokens;
    std::vector<uint32_t> own(count, 1);
    for (uint32_t s = 0; s < count; s++) {
      if (round == 0) own[s] = lengths[s];
      for (uint32_t i = 0; i < own[s]; i++) tokens.push_back(random.below(vocabulary));
    }
    Floats logits[2];
    for (int i = 0; i < 2; i++) {
      std::vector<lorakeet_decode_entry> entries;
      for (uint32_t s = 0; s < count; s++) {
        entries.push_back({s, own[s], s % 3 ? sides[i]->adapters[s % 2]->handle : nullptr});
      }
      logits[i].resize(size_t{count} * vocabulary);
      must(sides[i]->model.table.decode(caches[i], entries.data(), count, tokens.data(), logits[i].data()), "decode");
    }
    near(checks, name + ": logits, round " + std::to_string(round), logits[0], logits[1],
         budgets.log_probability * (1 + most(logits[1])));
  }
  for (int i = 0; i < 2; i++) sides[i]->model.table.destroy_cache(caches[i]);
}

void check_step(Side& device, Side& oracle, Checks& checks) {
  const uint64_t count = device.adapters[1]->parameters;
  Random random(9);
  const Floats gradient = random.uniforms(count, -0.1, 0.1), fisher = random.uniforms(count, 0, 4),
               anchor = random.uniforms(count, -1, 1);
  for (uint32_t step = 1; step <= 3; step++) {
    double norms[2] = {};
    int i = 0;
    for (Side* side : {&device, &oracle}) {
      AdapterUnderTest& adapter = *side->adapters[1];
      adapter.write(LORAKEET_GRADIENT, gradient);
      adapter.write(LORAKEET_FISHER, fisher);
      adapter.write(LORAKEET_ANCHOR, anchor);
      const lorakeet_adapter_step numbers = {0.01, 0.8, 0.999, 1e-8, 0.1, 0.5, 3, step};
      must(side->model.table.step_adapter(adapter.handle, &numbers, &norms[i++]), "step_adapter");
    }
    checks.expect(fabs(norms[0] / norms[1] - 1) < 1e-9, "the norms of a step are %.17g and %.17g", norms[0], norms[1]);
    near(checks, "step", device.adapters[1]->read(LORAKEET_PARAMETERS), oracle.adapters[1]->read(LORAKEET_PARAMETERS),
         1e-5);
  }
}

}  // namespace

void check_against_oracle(const lorakeet_decoder& decoder, const lorakeet_decoder& oracle, Checks& checks, bool small) {
  ModelShape tiny = {37, 20, 27, 2, 4, 2, 6};
  {
    Side device(decoder, tiny, 3), processor(oracle, tiny, 3);
    check_learning("odd sizes", device, processor, checks, small ? Ids{70, 1, 33} : Ids{150, 1, 65, 64, 2}, kFloat);
    check_decoding("odd sizes", device, processor, checks, small ? Ids{20, 3} : Ids{1100, 40, 1}, kFloat);
    check_step(device, processor, checks);
  }
  ModelShape norms = tiny;
  norms.query_key_norms = norms.tied = 1;
  norms.key_heads = 1;
  norms.biases = 0x7f;
  {
    Side device(decoder, norms, 2), processor(oracle, norms, 2);
    check_learning("norms, biases, a tied head", device, processor, checks, {17, 9}, kFloat);
    check_decoding("norms, biases, a tied head", device, processor, checks, {9, 2, 5, 1, 1, 4, 1, 1, 30}, kFloat);
  }
  if (small) return;
  for (const uint32_t dim : {64u, 128u, 256u}) {
    const ModelShape middle = {1003, 256, 688, 2, 4, 2, dim};
    const std::string name = "heads of " + std::to_string(dim);
    Side device(decoder, middle, 8), processor(oracle, middle, 8);
    check_learning(name, device, processor, checks, {130, 70}, kFloat);
    check_decoding(name, device, processor, checks, {300, 1, 1, 1, 1, 1, 1, 1, 1, 12}, kFloat);
  }
  const struct {
    const char* name;
    uint32_t weights;
  } storages[] = {{"f32", LORAKEET_WEIGHTS_F32},
                  {"bf16", LORAKEET_WEIGHTS_BF16},
                  {"f16", LORAKEET_WEIGHTS_F16},
                  {"int8", LORAKEET_WEIGHTS_INT8}};
  for (const auto& storage : storages) {
    ModelShape shape = {515, 128, 344, 2, 4, 2, 32};
    shape.weights = storage.weights;
    Side processor(oracle, shape, 4);
    for (const uint32_t arithmetic : {LORAKEET_ARITHMETIC_F32, LORAKEET_ARITHMETIC_BF16}) {
      shape.arithmetic = arithmetic;
      const bool rounds = arithmetic == LORAKEET_ARITHMETIC_BF16;
      Side device(decoder, shape, 4);
      const std::string name = std::string(storage.name) + (rounds ? " in bf16" : " in f32");
      check_learning(name, device, processor, checks, {60, 40}, rounds ? kRounded : kFloat);
      check_decoding(name, device, processor, checks, {50, 1, 7}, rounds ? kRounded : kFloat);
    }
  }
}
