#include "decoder_support.h"

#include <stdlib.h>
#include <string.h>

void must(lorakeet_status status, const char* operation) {
  if (status == LORAKEET_OK) return;
  char reason[512] = "";
  if (cuda_failure) cuda_failure(reason, sizeof(reason));
  printf("%s failed with status %d: %s\n", operation, status, reason);
  exit(1);
}

namespace {

uint32_t in_of(const ModelShape& shape, uint32_t module) {
  if (module == LORAKEET_O_PROJ) return shape.heads * shape.dim;
  return module == LORAKEET_DOWN_PROJ ? shape.intermediate : shape.hidden;
}

uint32_t out_of(const ModelShape& shape, uint32_t module) {
  switch (module) {
    case LORAKEET_Q_PROJ:
      return shape.heads * shape.dim;
    case LORAKEET_K_PROJ:
    case LORAKEET_V_PROJ:
      return shape.key_heads * shape.dim;
    case LORAKEET_GATE_PROJ:
    case LORAKEET_UP_PROJ:
      return shape.intermediate;
    default:
      return shape.hidden;
  }
}

}  // namespace

DecoderUnderTest::DecoderUnderTest(const lorakeet_decoder& decoder, const ModelShape& given)
    : table(decoder), shape(given) {
  Doubles frequencies = shape.frequencies;
  for (uint32_t i = static_cast<uint32_t>(frequencies.size()); i < shape.dim / 2; i++) {
    frequencies.push_back(pow(10000.0, -2.0 * i / shape.dim));
  }
  const lorakeet_decoder_config config = {shape.vocabulary,
                                          shape.hidden,
                                          shape.intermediate,
                                          shape.layers,
                                          shape.heads,
                                          shape.key_heads,
                                          shape.dim,
                                          shape.biases,
                                          shape.query_key_norms,
                                          shape.tied,
                                          shape.weights,
                                          shape.arithmetic,
                                          2,
                                          shape.epsilon,
                                          frequencies.data()};
  must(table.create_model(&config, &model), "create_model");
}

template <class Use>
void DecoderUnderTest::for_tensors(Use use) const {
  use(LORAKEET_NO_LAYER, LORAKEET_EMBEDDING, shape.vocabulary, shape.hidden, false);
  use(LORAKEET_NO_LAYER, LORAKEET_FINAL_NORM, 1u, shape.hidden, true);
  if (!shape.tied) use(LORAKEET_NO_LAYER, LORAKEET_HEAD, shape.vocabulary, shape.hidden, false);
  for (uint32_t layer = 0; layer < shape.layers; layer++) {
    for (uint32_t module = 0; module < LORAKEET_MODULES; module++) {
      use(layer, module, out_of(shape, module), in_of(shape, module), false);
      if (shape.biases >> module & 1) use(layer, LORAKEET_BIAS + module, 1u, out_of(shape, module), false);
    }
    use(layer, LORAKEET_INPUT_NORM, 1u, shape.hidden, true);
    use(layer, LORAKEET_POST_ATTENTION_NORM, 1u, shape.hidden, true);
    if (!shape.query_key_norms) continue;
    use(layer, LORAKEET_Q_NORM, 1u, shape.dim, true);
    use(layer, LORAKEET_K_NORM, 1u, shape.dim, true);
  }
}

void DecoderUnderTest::fill_weights() {
  for_tensors([&](uint32_t layer, uint32_t tensor, uint32_t rows, uint32_t columns, bool norm) {
    Random random(layer * 64ull + tensor + 1);
    const double spread = norm ? 0.3 : 2.0 / sqrt(columns), center = norm ? 1 : 0;
    write(layer, tensor, random.uniforms(size_t{rows} * columns, center - spread, center + spread));
  });
}

void DecoderUnderTest::repeat_weights() {
  Random random(1);
  for_tensors([&](uint32_t layer, uint32_t tensor, uint32_t rows, uint32_t columns, bool norm) {
    const uint32_t some = rows < 64 ? rows : 64;
    const double spread = norm ? 0.1 : 1 / sqrt(columns), center = norm ? 1 : 0;
    const Floats floats = random.uniforms(size_t{some} * columns, center - spread, center + spread);
    std::vector<uint16_t> halves(floats.size());
    for (size_t i = 0; i < floats.size(); i++) {
      uint32_t bits;
      memcpy(&bits, &floats[i], sizeof(bits));
      halves[i] = static_cast<uint16_t>(bits >> 16);
    }
    for (uint32_t row = 0; row < rows; row += some) {
      const uint32_t count = rows - row < some ? rows - row : some;
      must(table.write_weights(model, layer, tensor, row, count, LORAKEET_WEIGHTS_BF16, halves.data()),
           "write_weights");
    }
  });
}

void DecoderUnderTest::write(uint32_t layer, uint32_t tensor, const Floats& values) {
  uint32_t rows = 0;
  for_tensors([&](uint32_t other_layer, uint32_t other, uint32_t other_rows, uint32_t, bool) {
    if (other_layer == layer && other == tensor) rows = other_rows;
  });
  must(table.write_weights(model, layer, tensor, 0, rows, LORAKEET_WEIGHTS_F32, values.data()), "write_weights");
}

std::vector<lorakeet_lora_target> targets_of(const ModelShape& shape, uint32_t rank, float scaling, uint32_t modules) {
  std::vector<lorakeet_lora_target> targets;
  for (uint32_t layer = 0; layer < shape.layers; layer++) {
    for (uint32_t module = 0; module < LORAKEET_MODULES; module++) {
      if (modules >> module & 1) targets.push_back({layer, module, rank, scaling});
    }
  }
  return targets;
}

uint64_t parameters_of(const ModelShape& shape, const std::vector<lorakeet_lora_target>& targets) {
  uint64_t count = 0;
  for (const auto& target : targets) {
    count += uint64_t{target.rank} * (in_of(shape, target.module) + out_of(shape, target.module));
  }
  return count;
}

AdapterUnderTest::AdapterUnderTest(const DecoderUnderTest& of, const std::vector<lorakeet_lora_target>& targets,
                                   bool train)
    : table(of.table), parameters(parameters_of(of.shape, targets)) {
  must(table.create_adapter(of.model, targets.data(), static_cast<uint32_t>(targets.size()), train, &handle),
       "create_adapter");
}

void AdapterUnderTest::write(uint32_t vector, const Floats& values) {
  must(table.write_adapter(handle, vector, 0, values.size(), values.data()), "write_adapter");
}

Floats AdapterUnderTest::read(uint32_t vector) const {
  Floats values(parameters);
  must(table.read_adapter(handle, vector, 0, parameters, values.data()), "read_adapter");
  return values;
}

TestBatch::TestBatch(const std::vector<Ids>& sequences) {
  for (const Ids& ids : sequences) {
    for (uint32_t i = 1; i < ids.size(); i++) positions.push_back(offsets.back() + i);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    offsets.push_back(static_cast<uint32_t>(tokens.size()));
  }
}

lorakeet_token_batch TestBatch::view() const {
  return {static_cast<uint32_t>(offsets.size() - 1), static_cast<uint32_t>(positions.size()), tokens.data(),
          offsets.data(), positions.data()};
}

TestBatch random_batch(Random& random, const Ids& lengths, uint32_t vocabulary) {
  std::vector<Ids> sequences;
  for (const uint32_t length : lengths) {
    Ids ids(length);
    for (uint32_t& id : ids) id = random.below(vocabulary);
    sequences.push_back(ids);
  }
  return TestBatch(sequences);
}

Learnt learn(const DecoderUnderTest& model, AdapterUnderTest& adapter, const TestBatch& batch,
             const Floats& coefficients, lorakeet_forward_options options, bool coefficients_first) {
  Learnt learnt = {Floats(batch.positions.size()), Ids(batch.positions.size())};
  lorakeet_decoder_pass* pass = nullptr;
  const lorakeet_token_batch view = batch.view();
  options.keep = 1;
  must(model.table.create_pass(model.model, &pass), "create_pass");
  must(model.table.forward(pass, adapter.handle, &view, &options, coefficients_first ? coefficients.data() : nullptr,
                           learnt.log_probabilities.data(), learnt.labels.data()),
       "forward");
  must(model.table.backward(pass, adapter.handle, coefficients_first ? nullptr : coefficients.data()), "backward");
  model.table.destroy_pass(pass);
  return learnt;
}
