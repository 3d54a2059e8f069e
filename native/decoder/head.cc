#include "head.h"

#include <algorithm>

#include "spread.h"

namespace lorakeet {
void score(const Run& run, const float* x, const Scoring& scoring, const HeadMemory& memory) {
  const Model& model = run.model;
  const DecoderKernels& kernels = run.kernels();
  const size_t hidden = model.config.hidden_size, vocabulary = model.config.vocab_size;
  const float epsilon = model.config.rms_norm_eps;
  for (size_t first = 0; first < scoring.targets; first += memory.chunk) {
    const size_t count = std::min(memory.chunk, scoring.targets - first);
    const auto row_of = [&](size_t i) { return (scoring.positions[first + i] - size_t{1}) * hidden; };
    for_rows(run.threads(), count, hidden, [&](size_t i) {
      kernels.normalize(x + row_of(i), model.final_norm, epsilon, hidden, memory.hidden + i * hidden);
    });
    const Projection logits = {model.head, memory.logits, vocabulary};
    run.products.project(memory.hidden, hidden, count, &logits, 1, false, model.arithmetic);
    for_rows(run.threads(), count, vocabulary * 4 /* an exp */, [&](size_t i) {
      const size_t target = first + i;
      float* const row = memory.logits + i * vocabulary;
      const float log_sum = kernels.log_sum(row, vocabulary);
      if (scoring.draw) {
        const double share = random_share(scoring.draw_seed, target);
        scoring.labels[target] = static_cast<uint32_t>(kernels.draw(row, log_sum, share, vocabulary));
      }
      const uint32_t label = scoring.labels[target];
      if (scoring.log_probabilities) scoring.log_probabilities[target] = row[label] - log_sum;
      if (scoring.coefficients) {
        const float coefficient = scoring.coefficients[target];
        kernels.scaled_softmax(row, log_sum, coefficient, vocabulary);
        row[label] -= coefficient;
      }
    });
    if (!scoring.coefficients) continue;
    run.products.project_back(memory.logits, vocabulary, count, model.head, memory.d_hidden, hidden, false,
                              model.arithmetic);
    for_rows(run.threads(), count, hidden * 2, [&](size_t i) {
      kernels.normalize_back(x + row_of(i), model.final_norm, epsilon, memory.d_hidden + i * hidden, hidden,
                             scoring.d + row_of(i), false);
    });
  }
}

}  // namespace lorakeet
