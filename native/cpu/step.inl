// The end of an update: norm, clip, optimizer, EWC. Part of kernels.inl.
#pragma once

#include <math.h>

#include "lorakeet/kernels.h"
#include "slot.h"
#include "vec.h"

namespace lorakeet {
namespace {

// x − x is 0 for finite x and NaN otherwise.
LORAKEET_INLINE bool finite(float x) { return x - x == 0.0f; }
LORAKEET_INLINE bool all_finite(Vec zero_or_nan) { return sum(zero_or_nan) == 0.0f; }

// |g|² over the section; with the gradient form of EWC, g += λ·F·(θ − θ*) on the way.
static double gradient_norm2(const SlotShape& shape, const float* slot, bool add_penalty, float lambda, float* g) {
  constexpr size_t kBlock = 1024;  // fp32 sums of this many numbers at most, then double
  double total = 0;
  for (size_t start = 0; start < shape.section; start += kBlock) {
    const size_t end = start + kBlock < shape.section ? start + kBlock : shape.section;
    Vec squares = zero();
    for (size_t j = start; j < end; j += kWidth) {
      Vec grad = load(g + j);
      if (add_penalty) {
        const Vec pull = sub(load(slot + j), load(slot + shape.anchor + j));
        grad = fma(mul(broadcast(lambda), load(slot + shape.fisher + j)), pull, grad);
        store(g + j, grad);
      }
      squares = fma(grad, grad, squares);
    }
    total += sum(squares);
  }
  return total;
}

struct Step {
  Vec scale, rate, decay, ewc;                                  // clip factor, lr, 1 − lr·weightDecay, lr·λ
  Vec beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon;  // AdamW
  Vec correction1, correction2;                                 // 1/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ)
};

// g becomes the new weights; new moments go to scratch. True if all of them are finite; the slot itself is not touched.
template <bool AdamW, bool Proximal>
LORAKEET_INLINE bool step_pass(const SlotShape& shape, const float* slot, const Step& step, const Scratch& scratch) {
  float* g = scratch.gradient;
  Vec check = zero();
  for (size_t j = 0; j < shape.section; j += kWidth) {
    const Vec grad = mul(load(g + j), step.scale);
    Vec weight = load(slot + j);
    Vec direction = grad;
    if (AdamW) {
      const Vec m = fma(step.beta1, load(slot + shape.moment1 + j), mul(step.one_minus_beta1, grad));
      const Vec v = fma(step.beta2, load(slot + shape.moment2 + j), mul(step.one_minus_beta2, mul(grad, grad)));
      store(scratch.moment1 + j, m);
      store(scratch.moment2 + j, v);
      direction = div(mul(m, step.correction1), fma(root(v), step.correction2, step.epsilon));
      check = add(check, add(sub(m, m), sub(v, v)));
    }
    weight = sub(mul(weight, step.decay), mul(step.rate, direction));
    if (Proximal) {
      const Vec hold = mul(step.ewc, load(slot + shape.fisher + j));
      weight = div(fma(hold, load(slot + shape.anchor + j), weight), add(broadcast(1.0f), hold));
    }
    store(g + j, weight);
    check = add(check, sub(weight, weight));
  }
  return all_finite(check);
}

// xⁿ by squaring; std::pow would pull in code built for this instruction set from a shared template.
LORAKEET_INLINE double power(double x, uint64_t n) {
  double result = 1;
  for (; n; n >>= 1, x *= x) {
    if (n & 1) result *= x;
  }
  return result;
}

static bool take_step(const SlotShape& shape, const Hyperparameters& hyper, const SlotUpdate& job, float scale,
                      const Scratch& scratch) {
  Step step{};
  const float rate = job.learning_rate;
  step.scale = broadcast(scale);
  step.rate = broadcast(rate);
  step.decay = broadcast(1.0f - rate * hyper.weight_decay);
  step.ewc = broadcast(rate * job.ewc_lambda);
  if (hyper.adamw) {
    const uint64_t t = static_cast<uint64_t>(job.steps_taken) + 1;
    step.beta1 = broadcast(static_cast<float>(hyper.beta1));
    step.beta2 = broadcast(static_cast<float>(hyper.beta2));
    step.one_minus_beta1 = broadcast(static_cast<float>(1.0 - hyper.beta1));
    step.one_minus_beta2 = broadcast(static_cast<float>(1.0 - hyper.beta2));
    step.epsilon = broadcast(hyper.epsilon);
    step.correction1 = broadcast(static_cast<float>(1.0 / (1.0 - power(hyper.beta1, t))));
    step.correction2 = broadcast(static_cast<float>(1.0 / sqrt(1.0 - power(hyper.beta2, t))));
  }
  const bool proximal = hyper.ewc == LORAKEET_EWC_PROXIMAL;
  if (hyper.adamw) {
    return proximal ? step_pass<true, true>(shape, job.slot, step, scratch)
                    : step_pass<true, false>(shape, job.slot, step, scratch);
  }
  return proximal ? step_pass<false, true>(shape, job.slot, step, scratch)
                  : step_pass<false, false>(shape, job.slot, step, scratch);
}

}  // namespace
}  // namespace lorakeet
