#include "adapter.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "spread.h"

using namespace lorakeet;

namespace {

// Parameters that one thread works on at a time. The sum of squares is taken block by block, whatever the threads.
constexpr size_t kBlock = 16384;

}  // namespace

lorakeet_decoder_adapter::lorakeet_decoder_adapter(const Model& model, const lorakeet_lora_target* given,
                                                   uint32_t count, bool train)
    : targets(model.config, given, count),
      kernels_(model.kernels),
      threads_(model.config.threads),
      block_sums_((targets.parameters() + kBlock - 1) / kBlock) {
  const uint32_t kept = train ? LORAKEET_ADAPTER_VECTORS : LORAKEET_GRADIENT;
  for (uint32_t i = 0; i < kept; i++) {
    vectors_[i] = LazyBlock(targets.parameters() * sizeof(float));
    vectors_[i].use(targets.parameters() * sizeof(float));
  }
}

double lorakeet_decoder_adapter::gradient_norm() const {
  const float* const gradient = vector(LORAKEET_GRADIENT);
  spread(threads_, targets.parameters(), kBlock, [&](uint32_t, size_t first, size_t last) {
    for (; first < last; first += kBlock) {
      block_sums_[first / kBlock] = kernels_.sum_of_squares(gradient + first, std::min(kBlock, last - first));
    }
  });
  double total = 0;
  for (const double part : block_sums_) total += part;
  return sqrt(total);
}

bool lorakeet_decoder_adapter::step(const lorakeet_adapter_step& step, double* grad_norm) {
  const size_t count = targets.parameters();
  float* const gradient = vector(LORAKEET_GRADIENT);
  const double norm = *grad_norm = gradient_norm();
  if (!isfinite(norm)) {
    memset(gradient, 0, count * sizeof(float));
    return false;
  }
  AdamwStep numbers{};
  numbers.learning_rate = static_cast<float>(step.learning_rate);
  numbers.beta1 = static_cast<float>(step.beta1);
  numbers.beta2 = static_cast<float>(step.beta2);
  numbers.epsilon = static_cast<float>(step.epsilon);
  numbers.weight_decay = static_cast<float>(step.weight_decay);
  numbers.gradient_scale = norm > step.max_grad_norm ? static_cast<float>(step.max_grad_norm / norm) : 1.0f;
  numbers.bias_correction1 = static_cast<float>(1 - pow(step.beta1, step.step));
  numbers.bias_correction2 = static_cast<float>(1 - pow(step.beta2, step.step));
  numbers.pull = static_cast<float>(step.learning_rate * step.ewc_lambda);
  spread(threads_, count, kBlock, [&](uint32_t, size_t first, size_t last) {
    const AdamwVectors vectors = {vector(LORAKEET_PARAMETERS) + first, gradient + first,
                                  vector(LORAKEET_MOMENT1) + first,    vector(LORAKEET_MOMENT2) + first,
                                  vector(LORAKEET_FISHER) + first,     vector(LORAKEET_ANCHOR) + first};
    kernels_.adamw(vectors, last - first, numbers);
  });
  return true;
}

void lorakeet_decoder_adapter::add_fisher(double weight) {
  spread(threads_, targets.parameters(), kBlock, [&](uint32_t, size_t first, size_t last) {
    float* const gradient = vector(LORAKEET_GRADIENT) + first;
    kernels_.add_squares(gradient, static_cast<float>(weight), last - first, vector(LORAKEET_FISHER) + first);
    memset(gradient, 0, (last - first) * sizeof(float));
  });
}
