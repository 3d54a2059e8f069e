// One optimizer step of one slot on its rows, by one block. docs/math.md derives the equations.
//
// Data movement: weights and rows are read once per chunk of kChunk rows; the gradient [parameters] is summed up over
// the chunks in the block's own scratch memory, and then Fisher, anchor and moments are read and the new state written.
// The step is computed twice, first to see that every new number is finite and then to store it: that way a rejected
// slot is never touched, and no second copy of the state is needed.
#pragma once

#include <math.h>

#include "batch.h"
#include "lorakeet/kernels.h"

namespace lorakeet::cuda {

LORAKEET_BOTH uint32_t update_shared_floats(const Model& model) { return kChunk * (2 * model.rank + 1); }

LORAKEET_BOTH uint64_t update_scratch_floats(const Model& model) {
  return static_cast<uint64_t>(kChunk) * model.out_features + model.parameters();
}

// What one user's step works on. The memory is the block's own, reused for the next user.
struct UserUpdate {
  const UpdateBatch& batch;
  uint32_t user;
  double weight_sum;   // Σw over the user's rows
  float* coefficient;  // shared [kChunk]          c_i = 2·w_i/(out·Σw)
  float* hidden;       // shared [kChunk × rank]   h_i = s·A·x_i
  float* backward;     // shared [kChunk × rank]   g_i = s·c_i·Bᵀ·d_i
  float* difference;   // scratch [kChunk × out]   d_i = y_i − t_i
  float* gradient;     // scratch [parameters]     ∂A then ∂B

  LORAKEET_DEVICE float row_weight(uint32_t row) const { return batch.row_weight ? batch.row_weight[row] : 1.0f; }
};

// Adds rows first … first + count − 1 to the gradient and returns their Σ w·|d|².
LORAKEET_DEVICE double add_chunk(const Block& block, const UserUpdate& user, uint32_t first, uint32_t count,
                                 bool is_first) {
  const UpdateBatch& batch = user.batch;
  const Model& model = batch.model;
  const uint32_t rank = model.rank, in = model.in_features, out = model.out_features;
  const float* loraA = batch.slots[user.user].slab;
  const float* loraB = loraA + model.loraA_length();

  block.for_each(count, [&](uint32_t i) {
    user.coefficient[i] = static_cast<float>(2.0 * user.row_weight(first + i) / (out * user.weight_sum));
  });

  // h[i,k] = s·Σ_j A[k,j]·x[i,j]
  block.dots(
      count * rank, in, [&](uint32_t c, uint32_t j) { return loraA[c % rank * in + j] * batch.x[first + c / rank][j]; },
      [&](uint32_t c, float dot) { user.hidden[c] = model.scaling * dot; });

  // d[i,o] = (residual: x[i,o] +) Σ_k B[o,k]·h[i,k] − t[i,o]
  block.for_each(out, [&](uint32_t o) {
    for (uint32_t i = 0; i < count; i++) {
      float y = 0;
      for (uint32_t k = 0; k < rank; k++) y += loraB[o * rank + k] * user.hidden[i * rank + k];
      if (model.residual) y += batch.x[first + i][o];
      user.difference[i * out + o] = y - batch.target[first + i][o];
    }
  });

  // Σ_i w_i·Σ_o d[i,o]²
  const double loss = block.sum(count * out, [&](uint32_t p) {
    const float d = user.difference[p];
    return user.row_weight(first + p / out) * d * d;
  });

  // g[i,k] = s·c_i·Σ_o B[o,k]·d[i,o]
  block.dots(
      count * rank, out,
      [&](uint32_t c, uint32_t o) { return loraB[o * rank + c % rank] * user.difference[c / rank * out + o]; },
      [&](uint32_t c, float dot) { user.backward[c] = model.scaling * user.coefficient[c / rank] * dot; });

  // ∂A[k,j] += Σ_i g[i,k]·x[i,j]
  block.for_each(model.loraA_length(), [&](uint32_t p) {
    const uint32_t k = p / in, j = p % in;
    float sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += user.backward[i * rank + k] * batch.x[first + i][j];
    user.gradient[p] = is_first ? sum : user.gradient[p] + sum;
  });

  // ∂B[o,k] += Σ_i c_i·d[i,o]·h[i,k]
  float* gradientB = user.gradient + model.loraA_length();
  block.for_each(out * rank, [&](uint32_t p) {
    const uint32_t o = p / rank, k = p % rank;
    float sum = 0;
    for (uint32_t i = 0; i < count; i++) {
      sum += user.coefficient[i] * user.difference[i * out + o] * user.hidden[i * rank + k];
    }
    gradientB[p] = is_first ? sum : gradientB[p] + sum;
  });
  return loss;
}

constexpr float kStrongestPull = 1e30f;

// The optimizer step for any one parameter of a slot.
struct Step {
  const Model& model;
  const float *weights, *fisher, *anchor, *moment1, *moment2, *gradient;
  float learning_rate, ewc_lambda, clip;  // clip: the factor that brings the gradient's norm within its bound
  float correction1, correction2;         // 1 − β^t

  struct Result {
    float weight, moment1, moment2;
  };

  LORAKEET_DEVICE Result operator()(uint32_t p) const {
    const float g = clip * gradient[p];
    Result result = {0, 0, 0};
    float direction = g;
    if (model.adamw) {
      result.moment1 = model.beta1 * moment1[p] + model.beta1_rest * g;
      result.moment2 = model.beta2 * moment2[p] + model.beta2_rest * g * g;
      direction = (result.moment1 / correction1) / (sqrtf(result.moment2 / correction2) + model.epsilon);
    }
    // The change is computed first and added last: a small step on a large weight is rounded once.
    float change = -learning_rate * (model.weight_decay * weights[p] + direction);
    if (model.ewc == LORAKEET_EWC_PROXIMAL) {
      // (θ + Δ + q·θ*)/(1 + q) = θ + (Δ + q·(θ* − θ))/(1 + q); beyond the bound of q it is θ* either way.
      const float pull = fminf(learning_rate * ewc_lambda * fisher[p], kStrongestPull);
      change = (change + pull * (anchor[p] - weights[p])) / (1 + pull);
    }
    result.weight = weights[p] + change;
    return result;
  }
};

LORAKEET_DEVICE void report_user(const Block& block, const UpdateBatch& batch, uint32_t user, float loss,
                                 float grad_norm, uint32_t flags) {
  block.for_each(1, [&](uint32_t) {
    batch.loss[user] = loss;
    batch.grad_norm[user] = grad_norm;
    batch.flags[user] = flags;
  });
}

LORAKEET_DEVICE void update_user(const Block& block, const UpdateBatch& batch, uint32_t index, float* scratch) {
  const Model& model = batch.model;
  const uint32_t first = batch.row_offsets[index], rows = batch.row_offsets[index + 1] - first;
  const uint32_t parameters = model.parameters();
  UserUpdate user = {batch,
                     index,
                     0,
                     block.shared,
                     block.shared + kChunk,
                     block.shared + kChunk * (model.rank + 1),
                     scratch,
                     scratch + static_cast<uint64_t>(kChunk) * model.out_features};

  user.weight_sum = block.sum(rows, [&](uint32_t i) { return user.row_weight(first + i); });
  if (user.weight_sum == 0) {
    report_user(block, batch, index, 0, 0, LORAKEET_FLAG_NO_WEIGHT);
    return;
  }

  double squares = 0;
  for (uint32_t done = 0; done < rows; done += kChunk) {
    const uint32_t count = rows - done < kChunk ? rows - done : kChunk;
    squares += add_chunk(block, user, first + done, count, done == 0);
  }
  const float loss = static_cast<float>(squares / (model.out_features * user.weight_sum));

  const Slot slot = batch.slots[index];
  float* sections = slot.slab + parameters;  // behind the weights: [fisher | anchor |] [moment1 | moment2]
  float* moments = sections + (model.ewc == LORAKEET_EWC_NONE ? 0 : 2 * static_cast<uint64_t>(parameters));
  Step step = {model, slot.slab, sections, sections + parameters, moments, moments + parameters, user.gradient, 0, 0,
               1,     1,         1};
  step.learning_rate = batch.learning_rate ? batch.learning_rate[index] : batch.default_learning_rate;
  step.ewc_lambda = batch.ewc_lambda ? batch.ewc_lambda[index] : batch.default_ewc_lambda;

  // The norm of the whole gradient, over A and B together; the penalty's gradient λ·F·(θ − θ*) is part of it.
  const double norm = sqrt(block.sum(parameters, [&](uint32_t p) {
    if (model.ewc == LORAKEET_EWC_GRADIENT) {
      user.gradient[p] += step.ewc_lambda * step.fisher[p] * (step.weights[p] - step.anchor[p]);
    }
    return user.gradient[p] * user.gradient[p];
  }));
  const float bound = batch.max_grad_norm ? batch.max_grad_norm[index] : batch.default_max_grad_norm;
  const bool clipped = norm > bound;
  if (clipped) step.clip = static_cast<float>(bound / norm);

  const uint32_t steps = *slot.steps == UINT32_MAX ? UINT32_MAX : *slot.steps + 1;
  if (model.adamw) {
    step.correction1 = -expm1f(steps * model.log_beta1);
    step.correction2 = -expm1f(steps * model.log_beta2);
  }

  // Not finite: the loss, the gradient, or anything that the step would store.
  const double rejects = block.sum(parameters, [&](uint32_t p) {
    const Step::Result next = step(p);
    return isfinite(next.weight) && isfinite(next.moment1) && isfinite(next.moment2) ? 0.0f : 1.0f;
  });
  const bool rejected = !isfinite(loss) || !isfinite(norm) || rejects > 0;
  if (!rejected) {
    block.for_each(parameters, [&](uint32_t p) {
      const Step::Result next = step(p);
      slot.slab[p] = next.weight;
      if (model.adamw) {
        moments[p] = next.moment1;
        moments[parameters + p] = next.moment2;
      }
    });
    block.for_each(1, [&](uint32_t) { *slot.steps = steps; });
  }
  report_user(block, batch, index, loss, static_cast<float>(norm),
              rejected  ? LORAKEET_FLAG_REJECTED
              : clipped ? LORAKEET_FLAG_CLIPPED
                        : 0);
}

}  // namespace lorakeet::cuda
