// Times of training steps and of decoding, at the shapes of SmolLM2-135M and Qwen2.5-0.5B with weights of no meaning.
// Every time is the median of several calls, each ended by the device, copies included.
#include <algorithm>
#include <chrono>

#include "decoder_support.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The median time of a call; fewer of them when the time for it is up. One before them warms up.
template <class Call>
double median(Clock::time_point end, uint32_t most, Call call) {
  call();
  std::vector<double> times;
  do {
    const Clock::time_point start = Clock::now();
    call();
    times.push_back(seconds_since(start));
  } while (times.size() < most && Clock::now() < end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

constexpr uint32_t kAttention = 1 << LORAKEET_Q_PROJ | 1 << LORAKEET_K_PROJ | 1 << LORAKEET_V_PROJ;

void time_training(const DecoderUnderTest& model, const char* name, uint32_t sequences, uint32_t length,
                   Clock::time_point end) {
  AdapterUnderTest adapter(model, targets_of(model.shape, 16, 2, kAttention), true);
  Random random(1);
  adapter.write(LORAKEET_PARAMETERS, random.uniforms(adapter.parameters, -0.01, 0.01));
  const TestBatch batch = random_batch(random, Ids(sequences, length), model.shape.vocabulary);
  const Floats coefficients(batch.positions.size(), 1.0f / static_cast<float>(batch.positions.size()));
  const lorakeet_token_batch view = batch.view();
  lorakeet_forward_options options = {};
  options.keep = 1;
  lorakeet_decoder_pass* pass = nullptr;
  must(model.table.create_pass(model.model, &pass), "create_pass");
  Floats log_probabilities(batch.positions.size());
  Ids labels(batch.positions.size());
  uint32_t step = 0;
  const double seconds = median(end, 20, [&] {
    double norm = 0;
    must(model.table.forward(pass, adapter.handle, &view, &options, coefficients.data(), log_probabilities.data(),
                             labels.data()),
         "forward");
    must(model.table.backward(pass, adapter.handle, nullptr), "backward");
    const lorakeet_adapter_step numbers = {1e-4, 0.9, 0.999, 1e-8, 0, 1, 0, ++step};
    must(model.table.step_adapter(adapter.handle, &numbers, &norm), "step_adapter");
  });
  model.table.destroy_pass(pass);
  printf("train  %-18s %2u x %4u tokens, rank 16 on q, k, v: %8.2f ms, %9.0f tokens/s\n", name, sequences, length,
         1e3 * seconds, sequences * length / seconds);
}

void time_decoding(const DecoderUnderTest& model, const char* name, uint32_t sequences, bool adapted,
                   Clock::time_point end) {
  constexpr uint32_t kPrompt = 128, kMost = 40;
  std::vector<std::unique_ptr<AdapterUnderTest>> adapters;  // of each sequence its own
  for (uint32_t s = 0; adapted && s < sequences; s++) {
    adapters.push_back(std::make_unique<AdapterUnderTest>(model, targets_of(model.shape, 16, 2, kAttention), false));
  }
  Random random(2);
  lorakeet_decoder_cache* cache = nullptr;
  must(model.table.create_cache(model.model, sequences, kPrompt + kMost + 2, &cache), "create_cache");
  std::vector<lorakeet_decode_entry> entries;
  for (uint32_t s = 0; s < sequences; s++) entries.push_back({s, kPrompt, adapted ? adapters[s]->handle : nullptr});
  Ids tokens(size_t{sequences} * kPrompt);
  for (uint32_t& token : tokens) token = random.below(model.shape.vocabulary);
  Floats logits(size_t{sequences} * model.shape.vocabulary);
  const auto decode = [&] {
    must(model.table.decode(cache, entries.data(), sequences, tokens.data(), logits.data()), "decode");
  };
  decode();
  for (auto& entry : entries) entry.tokens = 1;
  const double seconds = median(end, kMost, decode);
  model.table.destroy_cache(cache);
  printf("decode %-18s %2u sequences%-17s: %8.2f ms a token of each, %9.0f tokens/s\n", name, sequences,
         adapted ? ", each an adapter" : ", no adapter", 1e3 * seconds, sequences / seconds);
}

}  // namespace

void time_decoder(const lorakeet_decoder& decoder, double seconds) {
  ModelShape smol = {49152, 576, 1536, 30, 9, 3, 64}, qwen = {151936, 896, 4864, 24, 14, 2, 64};
  smol.tied = qwen.tied = 1;
  qwen.biases = kAttention;
  const Clock::time_point start = Clock::now();
  uint32_t part = 0;
  for (const uint32_t arithmetic : {LORAKEET_ARITHMETIC_BF16, LORAKEET_ARITHMETIC_F32}) {
    for (ModelShape* shape : {&smol, &qwen}) {
      shape->arithmetic = arithmetic;
      shape->weights = arithmetic == LORAKEET_ARITHMETIC_BF16 ? LORAKEET_WEIGHTS_BF16 : LORAKEET_WEIGHTS_F32;
      const std::string name = std::string(shape == &smol ? "135M" : "0.5B") +
                               (arithmetic == LORAKEET_ARITHMETIC_BF16 ? " bf16 weights" : " f32 weights");
      DecoderUnderTest model(decoder, *shape);
      model.repeat_weights();
      // each of the parts has its share of the time, and what those before it left
      const auto end = [&] {
        return start +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds * ++part / 24));
      };
      time_training(model, name.c_str(), 4, 128, end());
      time_training(model, name.c_str(), 16, 128, end());
      time_training(model, name.c_str(), 8, 512, end());
      time_decoding(model, name.c_str(), 1, false, end());
      time_decoding(model, name.c_str(), 1, true, end());
      time_decoding(model, name.c_str(), 32, true, end());
    }
  }
}
