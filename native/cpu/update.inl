// The operation `update`. Part of kernels.inl.
#pragma once

#include "error.inl"
#include "products.inl"
#include "step.inl"

namespace lorakeet {
namespace {

// Per chunk of rows, with h = s·A·x and c = 2w/(out·Σw):
//   errors e = (x +) B·h − t;  loss += Σ c·|e|²/2;  b = c·s·Bᵀe;  ∂B += Σ e·(c·h)ᵀ;  ∂A += Σ b·xᵀ
// then once per slot: norm, clip factor, step in place.
//
// The norm decides about clipping, so a step can only follow it. It is known before the gradient is if there is a
// single row; and where a bound of it, which costs little, is below the limit, there will be no clipping whatever it
// is: in both cases each finished vector of the gradient goes straight into the step (step_on_one_row, step_at_once).
// Else the gradient is kept until its norm is known (step_after_norm).

// The rows of one chunk, as the phases see them.
struct Chunk {
  uint32_t n;
  const float *rows[kChunk], *targets[kChunk], *errors[kChunk];
  float coefficient[kChunk];
};

// weighted[i][k] = c_i·v[i][k]: a row's weight goes into its rank numbers, not into its features. Whole vectors are
// written; what spills over a row's end is written again with the next row, and zeros follow the last.
LORAKEET_INLINE void weigh(const float* v, const Chunk& chunk, uint32_t rank, float* weighted) {
  for (uint32_t i = 0; i < chunk.n; i++, v += rank, weighted += rank) {
    const Vec c = broadcast(chunk.coefficient[i]);
    for (uint32_t k = 0; k < rank; k += kWidth) store(weighted + k, mul(c, load(v + k)));
  }
  for (int k = 0; k < static_cast<int>(kTile); k += kWidth) store(weighted + k, zero());
}

// Σ v², lane by lane; what follows up to a whole vector is zero.
LORAKEET_INLINE Vec squares_of(const float* v, size_t count) {
  Vec even = zero(), odd = zero();
  size_t j = 0;
  for (; j + kWidth < count; j += 2 * kWidth) {
    const Vec x = load(v + j), y = load(v + j + kWidth);
    even = fma(x, x, even);
    odd = fma(y, y, odd);
  }
  if (j < count) {
    const Vec x = load(v + j);
    even = fma(x, x, even);
  }
  return add(even, odd);
}

// Zero times anything is zero here: a gradient of zeros has norm 0 also where the other factor's squares overflow.
LORAKEET_INLINE double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

// The gradient's norm decides the clip factor; false, with the slot as it was, if it is not finite.
static bool clip_factor(SlotUpdate& job, double norm2, float* scale) {
  job.grad_norm = static_cast<float>(sqrt(norm2));
  if (!finite(job.grad_norm)) return false;
  const bool clipped = job.grad_norm > job.max_grad_norm;
  *scale = clipped ? job.max_grad_norm / job.grad_norm : 1.0f;
  if (clipped) job.flags |= LORAKEET_FLAG_CLIPPED;
  return true;
}

// A bound of the squared norm of the gradient of a single chunk: |Σ b_i·x_iᵀ|² ≤ Σ|b_i|²·Σ|x_i|², likewise for B. With
// one row it is the squared norm itself.
LORAKEET_INLINE double norm_bound(const SlotShape& shape, const Chunk& chunk, const Scratch& scratch,
                                  float error_squares) {
  Vec x = zero();
  for (uint32_t i = 0; i < chunk.n; i++) x = add(x, squares_of(chunk.rows[i], padded(shape.in_tiles)));
  const size_t numbers = static_cast<size_t>(chunk.n) * shape.rank;
  float sums[4];
  store_sums(sums, 1.0f, x, squares_of(scratch.backward, numbers), squares_of(scratch.weighted, numbers), zero());
  return product(sums[0], sums[1]) + product(error_squares, sums[2]);
}

// The gradient passes over both matrices, each finished vector going to `tail` at its place within the matrix. They
// return the sum of the squares, lane by lane, for a tail that has them.
template <typename Rank, typename Tail>
LORAKEET_INLINE Vec gradient_of_a(const SlotShape& shape, Rank rank, const Chunk& chunk, const float* partial,
                                  const Scratch& scratch, const Tail& tail, Ahead& ahead) {
  return gradient_pass(chunk.rows, chunk.n, shape.in_tiles, scratch.backward, in_blocks(rank), partial, tail, ahead);
}
template <typename Rank, typename Tail>
LORAKEET_INLINE Vec gradient_of_b(const SlotShape& shape, Rank rank, const Chunk& chunk, const float* partial,
                                  const Scratch& scratch, const Tail& tail, Ahead& ahead) {
  return gradient_pass(chunk.errors, chunk.n, shape.out_tiles, scratch.weighted, in_blocks(rank),
                       partial ? partial + shape.loraB : nullptr, tail, ahead);
}

// Takes the step, in place. Where it could overflow, only on trial: false, with the slot as it was, if it did.
template <typename TakeStep>
LORAKEET_INLINE bool take_safely(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, float scale,
                                 const Scratch& scratch, const TakeStep& take_step) {
  SlotBounds after;
  if (bounds_after(hyper, job, scale, &after)) {
    take_step();
    job.bounds = after;
    return true;
  }
  float *weights = job.slot.weights, *moments = section_at(job.slot, shape.moment1);
  const size_t moment_count = shape.moments ? 2 * shape.section : 0;
  memcpy(scratch.backup, weights, shape.section * sizeof(float));
  if (moment_count) memcpy(scratch.backup + shape.section, moments, moment_count * sizeof(float));
  take_step();
  if (!all_finite(weights, shape.section) || !all_finite(moments, moment_count)) {
    memcpy(weights, scratch.backup, shape.section * sizeof(float));
    if (moment_count) memcpy(moments, scratch.backup + shape.section, moment_count * sizeof(float));
    return false;
  }
  job.bounds = measure(shape, job.slot);
  return true;
}

// What the ways of taking a step are told.
struct Finish {
  const SlotShape& shape;
  const Hyperparameters& hyper;
  SlotUpdate& job;
  const Chunk& chunk;    // the last
  const float* partial;  // the gradient of the chunks before it, or null
  double norm_bound;     // squared; of a single chunk
  const Scratch& scratch;
  Ahead& ahead;
};

template <typename Rank, typename Step>
LORAKEET_NOINLINE void outer_pass(const float* row, uint32_t tiles, const float* b, Rank rank, Step step,
                                  Ahead& ahead) {
  constexpr int kRanks = kRanksAtATime<Rank>;
  size_t offset = 0;
  for (size_t at = 0; at < padded(tiles); at += kTile, offset += static_cast<size_t>(rank) * kTile) {
    ahead.worked((1 + Step::kWork) * rank);
    LORAKEET_UNROLL for (int part = 0; part < static_cast<int>(kTile); part += kWidth) {
      const Vec x = load(row + at + part);
      uint32_t k = 0;
      for (; k + kRanks <= rank; k += kRanks) {
        LORAKEET_UNROLL for (int j = 0; j < kRanks; j++) {
          step.outer(x, broadcast(b[k + j]), offset + (k + j) * kTile + part);
        }
      }
      for (; k < rank; k++) step.outer(x, broadcast(b[k]), offset + k * kTile + part);
    }
  }
}

// A single row's gradients are outer products, whose norms are products of norms.
template <bool AdamW, Hold Holding, typename State, typename Rank>
LORAKEET_INLINE bool step_on_one_row(const Finish& at, Rank rank) {
  float scale;
  if (!clip_factor(at.job, at.norm_bound, &scale)) return false;
  return take_safely(at.shape, at.hyper, at.job, scale, at.scratch, [&] {
    const Step step = step_of(at.hyper, at.job, scale);
    Stepper<AdamW, Holding, State, false> stepper(at.shape, at.job.slot, step);
    if (!AdamW) {
      for (uint32_t k = 0; k < rank; k += kWidth) {
        store(at.scratch.backward + k, mul(step.rate, load(at.scratch.backward + k)));
        store(at.scratch.weighted + k, mul(step.rate, load(at.scratch.weighted + k)));
      }
    }
    outer_pass(at.chunk.rows[0], at.shape.in_tiles, at.scratch.backward, in_blocks(rank), stepper, at.ahead);
    stepper.start = at.shape.loraB;
    outer_pass(at.chunk.errors[0], at.shape.out_tiles, at.scratch.weighted, in_blocks(rank), stepper, at.ahead);
  });
}

// Gradient and step at once. The clip factor is 1, as the bound says.
template <bool AdamW, Hold Holding, typename State, typename Rank>
LORAKEET_INLINE bool step_at_once(const Finish& at, Rank rank) {
  at.job.grad_norm = static_cast<float>(sqrt(at.norm_bound));
  return take_safely(at.shape, at.hyper, at.job, 1.0f, at.scratch, [&] {
    Stepper<AdamW, Holding, State, true> stepper(at.shape, at.job.slot, step_of(at.hyper, at.job, 1.0f));
    Vec squares = gradient_of_a(at.shape, rank, at.chunk, nullptr, at.scratch, stepper, at.ahead);
    stepper.start = at.shape.loraB;
    squares = add(squares, gradient_of_b(at.shape, rank, at.chunk, nullptr, at.scratch, stepper, at.ahead));
    at.job.grad_norm = sqrtf(sum(squares));
  });
}

// The norm of the gradient, which is kept in scratch.
template <bool WithPenalty, typename State, typename Rank>
LORAKEET_INLINE double gradient_norm2(const Finish& at, Rank rank) {
  NormTail<WithPenalty, State> tail = {at.scratch.gradient, at.job.slot.weights, nullptr, nullptr,
                                       broadcast(at.job.ewc_lambda)};
  if (WithPenalty) {
    tail.fisher = section_at<State>(at.job.slot, at.shape.fisher);
    tail.anchor = section_at<State>(at.job.slot, at.shape.anchor);
  }
  const double of_a = sum(gradient_of_a(at.shape, rank, at.chunk, at.partial, at.scratch, tail, at.ahead));
  tail.start = at.shape.loraB;
  return of_a + sum(gradient_of_b(at.shape, rank, at.chunk, at.partial, at.scratch, tail, at.ahead));
}

template <bool AdamW, Hold Holding, typename State>
static bool step_after_norm(const Finish& at, double norm2) {
  float scale;
  if (!clip_factor(at.job, norm2, &scale)) return false;
  return take_safely(at.shape, at.hyper, at.job, scale, at.scratch, [&] {
    Stepper<AdamW, Holding, State, false> stepper(at.shape, at.job.slot, step_of(at.hyper, at.job, scale));
    for (size_t tile = 0; tile < at.shape.section; tile += kTile) {
      at.ahead.worked(kStepWork);
      LORAKEET_UNROLL for (size_t j = tile; j < tile + kTile; j += kWidth) stepper(load(at.scratch.gradient + j), j);
    }
  });
}

// Far from where a sum of squares in single precision overflows.
constexpr double kLargestBound = 1e36;

template <bool AdamW, Hold Holding, typename State, typename Rank>
static bool finish_update(const Finish& at, Rank rank) {
  if (Holding != Hold::kGradient) {  // the penalty's own gradient is not in the bound
    if (at.job.rows == 1) return step_on_one_row<AdamW, Holding, State>(at, rank);
    const double limit = at.job.max_grad_norm;
    if (at.job.rows == at.chunk.n && at.norm_bound <= limit * limit && at.norm_bound <= kLargestBound) {
      return step_at_once<AdamW, Holding, State>(at, rank);
    }
  }
  return step_after_norm<AdamW, Holding, State>(at, gradient_norm2<Holding == Hold::kGradient, State>(at, rank));
}

static Hold hold_of(const SlotShape& shape, const Hyperparameters& hyper, const SlotUpdate& job) {
  // Before the first consolidation there is nothing to hold on to: the penalty is zero, and so is its gradient.
  if (!shape.ewc || !(job.bounds.fisher > 0 && job.ewc_lambda > 0)) return Hold::kNone;
  if (hyper.ewc == LORAKEET_EWC_GRADIENT) return Hold::kGradient;
  const bool weak = job.learning_rate * job.ewc_lambda * job.bounds.fisher <= kWeakest;
  return weak && !shape.bf16 ? Hold::kWeak : Hold::kProximal;
}

template <bool AdamW, typename Rank>
LORAKEET_INLINE bool finish_update(const Finish& at, Rank rank) {
  switch (hold_of(at.shape, at.hyper, at.job)) {
    case Hold::kNone:
      return finish_update<AdamW, Hold::kNone, float>(at, rank);
    case Hold::kWeak:
      return finish_update<AdamW, Hold::kWeak, float>(at, rank);
    case Hold::kProximal:
      return at.shape.bf16 ? finish_update<AdamW, Hold::kProximal, Bf16>(at, rank)
                           : finish_update<AdamW, Hold::kProximal, float>(at, rank);
    default:
      return at.shape.bf16 ? finish_update<AdamW, Hold::kGradient, Bf16>(at, rank)
                           : finish_update<AdamW, Hold::kGradient, float>(at, rank);
  }
}

// Spreads the fetching of what comes next over this update's work: per parameter, each row costs a product with A or B,
// its share of the gradient, and half of the error; the step comes on top.
LORAKEET_INLINE Ahead look_ahead(const SlotShape& shape, const SlotUpdate& job) {
  Ahead ahead;
  if (!job.next.weights) return ahead;
  ahead.add(job.next.weights, shape.section * sizeof(float));
  if (job.next.state) ahead.add(job.next.state, shape.state_bytes);
  const size_t rows_bytes = job.next.rows * sizeof(float);
  if (job.next.x) ahead.add(job.next.x, rows_bytes * shape.in_features);
  if (job.next.target) ahead.add(job.next.target, rows_bytes * shape.out_features);
  ahead.spread_over((2.5 * job.rows + kStepWork) * static_cast<double>(shape.section) / kTile);
  return ahead;
}

template <typename Rank>
static void update_at(const SlotShape& shape, Rank rank, const Hyperparameters& hyper, SlotUpdate& job,
                      const Scratch& scratch) {
  job.loss = job.grad_norm = 0;
  job.flags = 0;
  double weight_sum = job.rows;
  if (job.row_weight) {
    weight_sum = 0;
    for (uint32_t i = 0; i < job.rows; i++) weight_sum += job.row_weight[i];
    if (weight_sum == 0) {
      job.flags = LORAKEET_FLAG_NO_WEIGHT;
      return;
    }
  }
  const float* bt = job.slot.weights + shape.loraB;
  const double per_weight = 2.0 / (shape.out_features * weight_sum);
  double loss = 0;
  Chunk chunk;
  Ahead ahead = look_ahead(shape, job);
  for (uint32_t done = 0; done < job.rows; done += chunk.n) {
    chunk.n = job.rows - done < kChunk ? job.rows - done : kChunk;
    const size_t first = static_cast<size_t>(job.first_row) + done;
    resolve_rows(job.x, shape.in_tiles, first, chunk.n, scratch.rows, chunk.rows);
    resolve_rows(job.target, shape.out_tiles, first, chunk.n, scratch.targets, chunk.targets);
    for (uint32_t i = 0; i < chunk.n; i++) {
      chunk.errors[i] = scratch.errors + i * row_stride(shape.out_tiles);
      chunk.coefficient[i] = static_cast<float>(job.row_weight ? job.row_weight[done + i] * per_weight : per_weight);
    }
    project(job.slot.weights, rank, shape.in_tiles, chunk.rows, chunk.n, hyper.scaling, scratch.hidden, ahead);
    weigh(scratch.hidden, chunk, rank, scratch.weighted);
    const ErrorSums error = error_pass(bt, rank, shape.out_tiles, scratch.hidden, hyper.residual ? chunk.rows : nullptr,
                                       chunk.targets, chunk.coefficient, chunk.n, scratch.errors, ahead);
    loss += error.weighted;
    project(bt, rank, shape.out_tiles, chunk.errors, chunk.n, hyper.scaling, scratch.hidden, ahead);
    weigh(scratch.hidden, chunk, rank, scratch.backward);
    const float* partial = done ? scratch.gradient : nullptr;
    if (done + chunk.n < job.rows) {
      StoreTail tail = {scratch.gradient};
      gradient_of_a(shape, rank, chunk, partial, scratch, tail, ahead);
      tail.start = shape.loraB;
      gradient_of_b(shape, rank, chunk, partial, scratch, tail, ahead);
      continue;
    }
    job.loss = static_cast<float>(loss * 0.5);
    if (!finite(job.loss)) {
      job.flags = LORAKEET_FLAG_REJECTED;
      return;
    }
    const double bound = done ? 0 : norm_bound(shape, chunk, scratch, error.plain);
    const Finish at = {shape, hyper, job, chunk, partial, bound, scratch, ahead};
    const bool stepped = hyper.adamw ? finish_update<true>(at, rank) : finish_update<false>(at, rank);
    if (!stepped) job.flags = LORAKEET_FLAG_REJECTED;
  }
}

static void update(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, const Scratch& scratch) {
  with_rank(shape.rank, [&](auto rank) { update_at(shape, rank, hyper, job, scratch); });
}

}  // namespace
}  // namespace lorakeet
