#include "oracle.h"

#include <math.h>

namespace {

// A·x
std::vector<double> project(const lorakeet_pool_config& config, const OracleSlot& slot, const float* x) {
  std::vector<double> z(config.rank);
  for (uint32_t k = 0; k < config.rank; k++) {
    for (uint32_t j = 0; j < config.in_features; j++) z[k] += slot.slab[k * config.in_features + j] * x[j];
  }
  return z;
}

// θ, F, θ*, m, v: where each section of the slab starts
struct Sections {
  explicit Sections(const lorakeet_pool_config& config)
      : parameters(config.rank * static_cast<size_t>(config.in_features + config.out_features)) {
    size_t next = parameters;
    if (config.ewc != LORAKEET_EWC_NONE) {
      fisher = next;
      anchor = next + parameters;
      next += 2 * parameters;
    }
    moment1 = next;
    moment2 = next + parameters;
  }
  size_t parameters, fisher = 0, anchor = 0, moment1, moment2;
};

}  // namespace

std::vector<double> oracle_apply(const lorakeet_pool_config& config, const OracleSlot& slot, const float* x) {
  const size_t b = static_cast<size_t>(config.rank) * config.in_features;
  const std::vector<double> z = project(config, slot, x);
  std::vector<double> y(config.out_features);
  for (uint32_t o = 0; o < config.out_features; o++) {
    for (uint32_t k = 0; k < config.rank; k++) y[o] += config.scaling * slot.slab[b + o * config.rank + k] * z[k];
    if (config.residual) y[o] += x[o];
  }
  return y;
}

OracleReport oracle_update(const lorakeet_pool_config& config, OracleSlot& slot, const std::vector<const float*>& x,
                           const std::vector<const float*>& t, const std::vector<double>& w, const OracleStep& step) {
  const Sections at(config);
  const uint32_t rank = config.rank, in = config.in_features, out = config.out_features;
  const size_t b = static_cast<size_t>(rank) * in;
  std::vector<double>& theta = slot.slab;

  double total = 0, loss = 0;
  for (const double weight : w) total += weight;
  if (total == 0) return {0, 0, LORAKEET_FLAG_NO_WEIGHT};

  std::vector<double> g(at.parameters);
  for (size_t i = 0; i < x.size(); i++) {
    const std::vector<double> z = project(config, slot, x[i]), y = oracle_apply(config, slot, x[i]);
    std::vector<double> back(rank);  // Bᵀe
    for (uint32_t o = 0; o < out; o++) {
      const double difference = y[o] - t[i][o], e = 2 * w[i] * difference / (out * total);
      loss += w[i] * difference * difference / (out * total);
      for (uint32_t k = 0; k < rank; k++) {
        back[k] += theta[b + o * rank + k] * e;
        g[b + o * rank + k] += config.scaling * e * z[k];
      }
    }
    for (uint32_t k = 0; k < rank; k++) {
      for (uint32_t j = 0; j < in; j++) g[k * in + j] += config.scaling * back[k] * x[i][j];
    }
  }

  double squares = 0;
  for (size_t p = 0; p < at.parameters; p++) {
    if (config.ewc == LORAKEET_EWC_GRADIENT)
      g[p] += step.ewc_lambda * theta[at.fisher + p] * (theta[p] - theta[at.anchor + p]);
    squares += g[p] * g[p];
  }
  const double norm = sqrt(squares);
  const bool clipped = norm > step.max_grad_norm;
  slot.steps++;
  for (size_t p = 0; p < at.parameters; p++) {
    double direction = clipped ? g[p] * step.max_grad_norm / norm : g[p];
    if (config.optimizer == LORAKEET_ADAMW) {
      double &m = theta[at.moment1 + p], &v = theta[at.moment2 + p];
      m = config.beta1 * m + (1 - config.beta1) * direction;
      v = config.beta2 * v + (1 - config.beta2) * direction * direction;
      direction =
          m / (1 - pow(config.beta1, slot.steps)) / (sqrt(v / (1 - pow(config.beta2, slot.steps))) + config.epsilon);
    }
    theta[p] -= step.learning_rate * (config.weight_decay * theta[p] + direction);
    if (config.ewc == LORAKEET_EWC_PROXIMAL) {
      const double pull = step.learning_rate * step.ewc_lambda * theta[at.fisher + p];
      theta[p] = (theta[p] + pull * theta[at.anchor + p]) / (1 + pull);
    }
  }
  return {loss, norm, clipped ? static_cast<uint32_t>(LORAKEET_FLAG_CLIPPED) : 0};
}

void oracle_consolidate(const lorakeet_pool_config& config, OracleSlot& slot, const std::vector<const float*>& x,
                        double decay) {
  const Sections at(config);
  const uint32_t rank = config.rank, in = config.in_features, out = config.out_features;
  const size_t b = static_cast<size_t>(rank) * in;
  std::vector<double> task(at.parameters);
  for (uint32_t k = 0; k < rank; k++) {
    double b_squares = 0;
    for (uint32_t o = 0; o < out; o++) b_squares += slot.slab[b + o * rank + k] * slot.slab[b + o * rank + k];
    for (const float* row : x) {
      for (uint32_t j = 0; j < in; j++) task[k * in + j] += static_cast<double>(row[j]) * row[j] * b_squares;
    }
  }
  for (const float* row : x) {
    const std::vector<double> z = project(config, slot, row);
    for (uint32_t o = 0; o < out; o++) {
      for (uint32_t k = 0; k < rank; k++) task[b + o * rank + k] += z[k] * z[k];
    }
  }
  for (size_t p = 0; p < at.parameters; p++) {
    double& fisher = slot.slab[at.fisher + p];
    fisher = decay * fisher + config.scaling * config.scaling * task[p] / x.size();
    slot.slab[at.anchor + p] = slot.slab[p];
  }
}
