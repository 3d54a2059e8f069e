// From logits to log-probabilities, drawn labels, and the gradient of the loss −Σ coefficient · log p.
#pragma once

#include "../../decoder/random.h"
#include "../block.h"
#include "../numbers.h"

namespace lorakeet::cuda::decoder {

struct ScoreRows {
  float* logits;  // [items × vocabulary]; with coefficients, they become the gradient
  uint32_t vocabulary;
  size_t first;      // target of the first row
  uint32_t* labels;  // [targets]: the tokens to score; those that were drawn where `draw` is set
  uint32_t draw;     // 0 or 1
  uint64_t draw_seed;
  float* log_probabilities;   // [targets], or null
  const float* coefficients;  // [targets], or null

  static constexpr uint32_t kWarps = kMostThreads / kLanes;
  uint32_t shared_floats() const { return 2 * kMostThreads + kWarps; }

  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    float* const row = logits + size_t{item} * vocabulary;
    const size_t target = first + item;
    float* const tops = block.shared + 2 * kMostThreads;
    block.largest(
        kWarps,
        [&](uint32_t warp, uint32_t lane) {
          float most = -INFINITY;
          for (uint32_t i = warp * kLanes + lane; i < vocabulary; i += kMostThreads) most = fmaxf(most, row[i]);
          return most;
        },
        [&](uint32_t warp, float most) { tops[warp] = most; });
    float top = tops[0];
    for (uint32_t warp = 1; warp < kWarps; warp++) top = fmaxf(top, tops[warp]);
    const double total = block.sum(vocabulary, [&](uint32_t i) { return static_cast<double>(expf(row[i] - top)); });
    const float log_sum = static_cast<float>(static_cast<double>(top) + log(total));
    const uint32_t label = draw ? drawn(block, row, log_sum, random_share(draw_seed, target)) : labels[target];
    block.for_each(1, [&](uint32_t) {
      if (draw) labels[target] = label;
      if (log_probabilities) log_probabilities[target] = row[label] - log_sum;
    });
    if (!coefficients) return;
    const float coefficient = coefficients[target];
    block.for_each(vocabulary, [&](uint32_t i) {
      const float gradient = coefficient * expf(row[i] - log_sum);
      row[i] = i == label ? gradient - coefficient : gradient;
    });
  }

 private:
  // The first index at which the running sum of exp(x − log_sum) exceeds `share` of the whole.
  LORAKEET_DEVICE uint32_t drawn(const Block& block, const float* row, float log_sum, double share) const {
    double* const parts = reinterpret_cast<double*>(block.shared);
    const uint32_t length = (vocabulary + kMostThreads - 1) / kMostThreads, count = (vocabulary + length - 1) / length;
    block.for_each(count, [&](uint32_t part) {
      double sum = 0;
      for (uint32_t i = part * length; i < smaller((part + 1) * length, vocabulary); i++) {
        sum += static_cast<double>(expf(row[i] - log_sum));
      }
      parts[part] = sum;
    });
    double whole = 0, before = 0;
    for (uint32_t part = 0; part < count; part++) whole += parts[part];
    const double wanted = share * whole;
    uint32_t part = 0;
    while (part + 1 < count && before + parts[part] <= wanted) before += parts[part++];
    // the last index has to have it, whatever was lost in rounding
    uint32_t i = part * length;
    const uint32_t last = smaller(i + length, vocabulary) - 1;
    for (; i < last; i++) {
      before += static_cast<double>(expf(row[i] - log_sum));
      if (before > wanted) break;
    }
    return i;
  }
};

}  // namespace lorakeet::cuda::decoder
