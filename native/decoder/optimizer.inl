// One step of AdamW with the pull of EWC, and what goes with it.
#pragma once

#include "kernels.h"
#include "vec_math.inl"

namespace {

double sum_of_squares(const float* x, size_t n) {
  constexpr size_t kLanes = 8;  // partial sums, so that the compiler can use vectors
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) {
      const double value = static_cast<double>(x[i + lane]);
      sums[lane] += value * value;
    }
  }
  double total = 0;
  for (const double part : sums) total += part;
  for (; i < n; i++) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

void adamw(const lorakeet::AdamwVectors& vectors, size_t n, const lorakeet::AdamwStep& step) {
  const Vec kept1 = broadcast(step.beta1), new1 = broadcast(1.0f - step.beta1);
  const Vec kept2 = broadcast(step.beta2), new2 = broadcast(1.0f - step.beta2);
  const Vec decay = broadcast(1.0f - step.learning_rate * step.weight_decay);
  const Vec rate = broadcast(step.learning_rate / step.bias_correction1);
  const Vec correction2 = broadcast(step.bias_correction2), epsilon = broadcast(step.epsilon);
  const Vec scale = broadcast(step.gradient_scale), pull = broadcast(step.pull), one = broadcast(1.0f);
  for (size_t i = 0; i < n; i += kWidth) {
    const size_t left = n - i;
    const Vec g = mul(scale, load_some(vectors.gradient + i, left));
    const Vec m = fma(new1, g, mul(kept1, load_some(vectors.moment1 + i, left)));
    const Vec v = fma(new2, mul(g, g), mul(kept2, load_some(vectors.moment2 + i, left)));
    store_some(vectors.moment1 + i, m, left);
    store_some(vectors.moment2 + i, v, left);
    Vec parameters = mul(decay, load_some(vectors.parameters + i, left));
    parameters = sub(parameters, div(mul(rate, m), add(root(div(v, correction2)), epsilon)));
    if (step.pull > 0) {
      const Vec force = mul(pull, load_some(vectors.fisher + i, left));
      parameters = div(fma(force, load_some(vectors.anchor + i, left), parameters), add(one, force));
    }
    store_some(vectors.parameters + i, parameters, left);
    store_some(vectors.gradient + i, zero(), left);
  }
}

void add_squares(const float* gradient, float weight, size_t n, float* fisher) {
  const Vec scale = broadcast(weight);
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec g = load_some(gradient + i, n - i);
    store_some(fisher + i, fma(scale, mul(g, g), load_some(fisher + i, n - i)), n - i);
  }
}

}  // namespace
