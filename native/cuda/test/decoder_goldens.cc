// The decoder against PyTorch in float64: what flatten_llm_goldens.py makes of test/golden/llm.
#include <stdlib.h>

#include <fstream>

#include "decoder_support.h"

namespace {

Floats floats(const Doubles& values) { return Floats(values.begin(), values.end()); }
Ids ids(const Doubles& values) { return Ids(values.begin(), values.end()); }

constexpr double kLogit = 1e-4, kGradient = 1e-4, kStep = 1e-2;  // those of the C++ decoder's tests

void check_model(const lorakeet_decoder& decoder, Checks& checks, const std::string& name, const Numbers& golden) {
  const auto at = [&](const std::string& key) -> const Doubles& { return golden.at(name + "/" + key); };
  const Ids sizes = ids(at("config"));
  ModelShape shape = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4],
                      sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]};
  shape.epsilon = static_cast<float>(at("config")[10]);
  shape.frequencies = at("frequencies");
  DecoderUnderTest model(decoder, shape);
  const std::string prefix = name + "/weight/";
  for (auto entry = golden.lower_bound(prefix); entry != golden.end() && entry->first.rfind(prefix, 0) == 0; ++entry) {
    uint32_t layer = 0, tensor = 0;
    sscanf(entry->first.c_str() + prefix.size(), "%u/%u", &layer, &tensor);
    model.write(layer, tensor, floats(entry->second));
  }
  const auto targets = targets_of(shape, static_cast<uint32_t>(at("adapter")[0]), static_cast<float>(at("adapter")[1]));
  AdapterUnderTest adapter(model, targets, true);
  const Floats parameters = floats(at("parameters")), zeros(adapter.parameters);
  adapter.write(LORAKEET_PARAMETERS, parameters);

  std::vector<Ids> sequences;
  Floats coefficients;
  Doubles log_probs;
  Ids positions;
  uint32_t start = 0;
  for (int i = 0; i < 3; i++) {
    const std::string number = "." + std::to_string(i);
    sequences.push_back(ids(at("ids" + number)));
    for (const double position : at("positions" + number)) positions.push_back(start + static_cast<uint32_t>(position));
    for (const double share : at("coefficients" + number)) coefficients.push_back(static_cast<float>(share));
    log_probs.insert(log_probs.end(), at("log_probs" + number).begin(), at("log_probs" + number).end());
    start += static_cast<uint32_t>(sequences.back().size());
  }
  TestBatch batch(sequences);
  batch.positions = positions;

  // the Fisher: of each sequence alone, Σ log p
  for (int i = 0; i < 3; i++) {
    TestBatch one({sequences[static_cast<size_t>(i)]});
    one.positions = ids(at("positions." + std::to_string(i)));
    learn(model, adapter, one, Floats(one.positions.size(), -1.0f), {}, true);
    must(decoder.add_fisher(adapter.handle, 1.0 / 3), "add_fisher");
  }
  checks.near(name + ": fisher", adapter.read(LORAKEET_FISHER).data(), at("fisher").data(), adapter.parameters,
              2 * kGradient * largest(at("fisher").data(), adapter.parameters));

  const Doubles& step = at("step");
  for (uint32_t i = 0; i < 3; i++) {
    const Learnt learnt = learn(model, adapter, batch, coefficients, {}, true);
    if (i == 0) {
      checks.near(name + ": log-probabilities", learnt.log_probabilities.data(), log_probs.data(), log_probs.size(),
                  kLogit);
      checks.near(name + ": gradient", adapter.read(LORAKEET_GRADIENT).data(), at("grad").data(), adapter.parameters,
                  kGradient * largest(at("grad").data(), adapter.parameters));
    }
    double norm = 0;
    const lorakeet_adapter_step numbers = {step[0], step[1], step[2], step[3], step[4], INFINITY, 0, i + 1};
    must(decoder.step_adapter(adapter.handle, &numbers, &norm), "step_adapter");
    checks.expect(fabs(norm / at("norms")[i] - 1) < kGradient, "%s: the norm of step %u is %g, expected %g",
                  name.c_str(), i + 1, norm, at("norms")[i]);
    if (i == 1) continue;
    const Doubles& want = at("step" + std::to_string(i + 1));
    checks.near(name + ": step " + std::to_string(i + 1), adapter.read(LORAKEET_PARAMETERS).data(), want.data(),
                want.size(), kStep * step[0]);
  }

  // logits token by token, and of a whole prompt
  adapter.write(LORAKEET_PARAMETERS, parameters);
  lorakeet_decoder_cache* cache = nullptr;
  must(decoder.create_cache(model.model, 2, 32, &cache), "create_cache");
  for (int with = 0; with < 2; with++) {
    const Doubles& want = at(with ? "logits.0" : "base_logits");
    const Ids& prompt = sequences[0];
    Floats logits(shape.vocabulary);
    decoder.truncate_cache(cache, 0, 0);
    for (size_t t = 0; t < prompt.size(); t++) {
      const lorakeet_decode_entry entry = {0, 1, with ? adapter.handle : nullptr};
      must(decoder.decode(cache, &entry, 1, &prompt[t], logits.data()), "decode");
      checks.near(name + ": logits", logits.data(), &want[t * shape.vocabulary], shape.vocabulary, kLogit);
    }
    const lorakeet_decode_entry entry = {1, static_cast<uint32_t>(prompt.size()), with ? adapter.handle : nullptr};
    decoder.truncate_cache(cache, 1, 0);
    must(decoder.decode(cache, &entry, 1, prompt.data(), logits.data()), "decode");
    checks.near(name + ": logits of a prompt", logits.data(), &want[(prompt.size() - 1) * shape.vocabulary],
                shape.vocabulary, kLogit);
  }
  decoder.destroy_cache(cache);
}

}  // namespace

void check_decoder_goldens(const lorakeet_decoder& decoder, Checks& checks, const char* file) {
  std::ifstream in(file);
  Numbers golden;
  std::string name;
  for (size_t count = 0; in >> name >> count;) {
    Doubles& values = golden[name];
    values.resize(count);
    for (double& value : values) {
      std::string text;
      in >> text;
      value = strtod(text.c_str(), nullptr);
    }
  }
  uint32_t models = 0;
  for (const auto& [key, values] : golden) {
    const size_t slash = key.find('/');
    if (key.substr(slash + 1) != "config") continue;
    check_model(decoder, checks, key.substr(0, slash), golden);
    models++;
  }
  checks.expect(models >= 6, "%s has goldens of %u models, expected 6", file, models);
}
