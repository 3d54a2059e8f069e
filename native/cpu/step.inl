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

// What the step of one line takes, in the unit of Ahead.
constexpr uint32_t kStepWork = 6;

struct Step {
  bool decays;
  Vec scale, rate, decay, ewc;  // clip factor, −lr (SGD: times it), 1 − lr·weightDecay, lr·λ
  Vec beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon;  // AdamW
  Vec correction1, correction2;                                 // 1/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ)
};

// How a step holds on to the anchor; kWeak is kProximal where all η·λ·F are small and in single precision.
enum class Hold { kNone, kWeak, kProximal, kGradient };

// For h = η·λ·F up to this, h/(1 + h) is h − h² to within 2⁻²⁰ of itself, and needs no division.
constexpr float kWeakest = 1.0f / 1024;

// The step itself, on one vector after the other, in place. Everything is held by value: as far as the compiler knows,
// a store through any pointer could change what a reference leads to, and all of it would be loaded anew.
// State: what Fisher and anchor are kept as.
template <bool AdamW, Hold Holding, typename State, bool Norm>
struct Stepper {
  static constexpr bool kNorm = Norm;
  static constexpr uint32_t kWork = kStepWork;
  float *slot, *moment1, *moment2;
  const State *fisher, *anchor;
  Step step;
  size_t start = 0;  // of the matrix within its section

  Stepper(const SlotShape& shape, const SlotData& data, const Step& step)
      : slot(data.weights),
        moment1(section_at(data, shape.moment1)),
        moment2(section_at(data, shape.moment2)),
        fisher(section_at<State>(data, shape.fisher)),
        anchor(section_at<State>(data, shape.anchor)),
        step(step) {}

  // As the tail of a gradient pass: g is a finished vector of the gradient.
  LORAKEET_MEMBER Vec operator()(Vec g, size_t offset) {
    const size_t j = start + offset;
    if (AdamW) {
      const Vec grad = mul(g, step.scale);
      const Vec m = fma(step.beta1, load(moment1 + j), mul(step.one_minus_beta1, grad));
      const Vec v = fma(step.beta2, load(moment2 + j), mul(step.one_minus_beta2, mul(grad, grad)));
      store(moment1 + j, m);
      store(moment2 + j, v);
      finish(fma(mul(m, step.rate), div(step.correction1, fma(root(v), step.correction2, step.epsilon)), decayed(j)),
             j);
    } else {
      finish(fma(g, step.rate, decayed(j)), j);
    }
    return g;
  }

  // For a gradient x·b; with SGD, b has been multiplied by step.rate.
  LORAKEET_MEMBER void outer(Vec x, Vec b, size_t offset) {
    if (AdamW) {
      (*this)(mul(x, b), offset);
    } else {
      const size_t j = start + offset;
      finish(fma(x, b, decayed(j)), j);
    }
  }

 private:
  LORAKEET_MEMBER Vec decayed(size_t j) const {
    const Vec weight = load(slot + j);
    return step.decays ? mul(weight, step.decay) : weight;
  }
  LORAKEET_MEMBER void finish(Vec weight, size_t j) {
    if (Holding == Hold::kWeak || Holding == Hold::kProximal) {
      const Vec hold = mul(step.ewc, load(fisher + j));
      const Vec pull = load(anchor + j);
      weight = Holding == Hold::kWeak ? fma(fnma(hold, hold, hold), sub(pull, weight), weight)
                                      : div(fma(hold, pull, weight), add(broadcast(1.0f), hold));
    }
    store(slot + j, weight);
  }
};

// Keeps the gradient for later; with the gradient form of EWC, g += λ·F·(θ − θ*) first.
template <bool WithPenalty, typename State>
struct NormTail {
  static constexpr bool kNorm = true;
  static constexpr uint32_t kWork = 0;
  float* gradient;
  const float* slot;
  const State *fisher, *anchor;
  Vec lambda;
  size_t start = 0;

  LORAKEET_MEMBER Vec operator()(Vec g, size_t offset) {
    const size_t j = start + offset;
    if (WithPenalty) g = fma(mul(lambda, load(fisher + j)), sub(load(slot + j), load(anchor + j)), g);
    store(gradient + j, g);
    return g;
  }
};

// Keeps the gradient of the chunks so far.
struct StoreTail {
  static constexpr bool kNorm = false;
  static constexpr uint32_t kWork = 0;
  float* gradient;
  size_t start = 0;
  LORAKEET_MEMBER Vec operator()(Vec g, size_t offset) {
    store(gradient + start + offset, g);
    return g;
  }
};

template <typename Number>
LORAKEET_INLINE float largest(const Number* v, size_t count) {
  Vec most = zero();
  for (size_t j = 0; j < count; j += kWidth) {
    const Vec x = load(v + j);
    most = larger(most, larger(x, sub(zero(), x)));
  }
  float lanes[kWidth], result = 0;
  store(lanes, most);
  for (const float lane : lanes) result = lane > result ? lane : result;
  return result;
}

template <typename State>
LORAKEET_INLINE void measure_ewc(const SlotShape& shape, const SlotData& slot, SlotBounds* bounds) {
  const float anchor = largest(section_at<State>(slot, shape.anchor), shape.section);
  if (anchor > bounds->weights) bounds->weights = anchor;
  bounds->fisher = largest(section_at<State>(slot, shape.fisher), shape.section);
}

static SlotBounds measure(const SlotShape& shape, const SlotData& slot) {
  SlotBounds bounds = {largest(slot.weights, shape.section), 0, 0};
  if (shape.ewc) shape.bf16 ? measure_ewc<Bf16>(shape, slot, &bounds) : measure_ewc<float>(shape, slot, &bounds);
  if (shape.moments) bounds.moments = largest(section_at(slot, shape.moment1), 2 * shape.section);
  return bounds;
}

// xⁿ by squaring; std::pow would pull in code built for this instruction set from a shared template.
LORAKEET_INLINE double power(double x, uint64_t n) {
  double result = 1;
  for (; n; n >>= 1, x *= x) {
    if (n & 1) result *= x;
  }
  return result;
}

static Step step_of(const Hyperparameters& hyper, const SlotUpdate& job, float scale) {
  Step step{};
  const float rate = job.learning_rate;
  step.scale = broadcast(scale);
  step.rate = broadcast(hyper.adamw ? -rate : -rate * scale);
  step.decays = rate * hyper.weight_decay != 0;
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
  return step;
}

LORAKEET_INLINE double larger(double a, double b) { return a > b ? a : b; }

// The slot's bounds after a step with this clip factor; false if the step could overflow.
static bool bounds_after(const Hyperparameters& hyper, const SlotUpdate& job, float scale, SlotBounds* after) {
  constexpr double kFarFromOverflow = 1e36;
  const double rate = job.learning_rate;
  const double norm = static_cast<double>(job.grad_norm) * scale;  // no entry of the gradient is larger
  double moments = job.bounds.moments;
  double step = norm;
  if (hyper.adamw) {
    moments = larger(moments, larger(norm, norm * norm));
    step = moments / (1.0 - power(hyper.beta1, static_cast<uint64_t>(job.steps_taken) + 1)) / hyper.epsilon;
  }
  const double weights = job.bounds.weights * larger(1.0, fabs(1.0 - rate * hyper.weight_decay)) + rate * step;
  const double hold = rate * job.ewc_lambda * job.bounds.fisher;
  *after = {static_cast<float>(weights), static_cast<float>(moments), job.bounds.fisher};
  // written so that NaN is not far from overflow either
  return weights < kFarFromOverflow && moments < kFarFromOverflow && hold * weights < kFarFromOverflow;
}

static bool all_finite(const float* v, size_t count) {
  Vec check = zero();
  for (size_t j = 0; j < count; j += kWidth) {
    const Vec x = load(v + j);
    check = add(check, sub(x, x));
  }
  return all_finite(check);
}

}  // namespace
}  // namespace lorakeet
