// The optimizer's step for one parameter; docs/math.md, sections 4 to 6.
#pragma once

#include "batch.h"

namespace lorakeet::cuda {

// Beyond this η·λ·F the step ends at the anchor either way.
constexpr float kStrongestPull = 1e30f;

struct Step {
  float learning_rate, ewc_lambda;
  float clip;              // the factor that brings the gradient's norm within its bound
  float unbias1, unbias2;  // 1/(1 − β^t)

  // Before and after, of one parameter.
  struct Parameter {
    float weight, moment1, moment2;
  };

  // The step of Adam's moments, for those who need them alone.
  LORAKEET_DEVICE void advance(const Model& model, Parameter* p, float gradient) const {
    const float g = clip * gradient;
    p->moment1 = model.beta1 * p->moment1 + model.beta1_rest * g;
    p->moment2 = model.beta2 * p->moment2 + model.beta2_rest * g * g;
  }

  LORAKEET_DEVICE void operator()(const Model& model, Parameter* p, float gradient, float fisher, float anchor) const {
    float direction = clip * gradient;
    if (model.adamw) {
      advance(model, p, gradient);
      direction = quotient(p->moment1 * unbias1, square_root(p->moment2 * unbias2) + model.epsilon);
    }
    // The change is computed first and added last: a small step on a large weight is rounded once.
    float change = -learning_rate * (model.weight_decay * p->weight + direction);
    if (model.ewc == LORAKEET_EWC_PROXIMAL) {
      // (θ + Δ + q·θ*)/(1 + q) = θ + (Δ + q·(θ* − θ))/(1 + q)
      const float pull = fminf(learning_rate * ewc_lambda * fisher, kStrongestPull);
      change = quotient(change + pull * (anchor - p->weight), 1 + pull);
    }
    p->weight += change;
  }
};

}  // namespace lorakeet::cuda
