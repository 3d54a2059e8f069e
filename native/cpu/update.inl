// The operation `update`. Part of kernels.inl.
#pragma once

#include "error.inl"
#include "products.inl"
#include "step.inl"

namespace lorakeet {
namespace {

// What the step of one line takes, in the unit of Ahead.
constexpr uint32_t kStepWork = 6;

// Per chunk of rows, with h = s·A·x and c = 2w/(out·Σw):
//   errors e = (x +) B·h − t;  loss += Σ c·|e|²/2;  b = c·s·Bᵀe;  ∂B += Σ e·(c·h)ᵀ;  ∂A += Σ b·xᵀ
// then once per slot: norm, clip factor, step in place.

// The rows of one chunk, as the phases see them.
struct Chunk {
  uint32_t n;
  const float *rows[kChunk], *targets[kChunk], *errors[kChunk];
  float coefficient[kChunk];
};

// weighted[i][k] = c_i·v[i][k]: a row's weight goes into its rank numbers, not into its features. Whole vectors are
// written; what spills over a row's end is written again with the next row, or lies in the padding behind the last.
LORAKEET_INLINE void weigh(const float* v, const Chunk& chunk, uint32_t rank, float* weighted) {
  for (uint32_t i = 0; i < chunk.n; i++, v += rank, weighted += rank) {
    const Vec c = broadcast(chunk.coefficient[i]);
    for (uint32_t k = 0; k < rank; k += kWidth) store(weighted + k, mul(c, load(v + k)));
  }
}

// Σ v² of a row padded to whole tiles, or of any numbers whose count is a multiple of the vector width.
LORAKEET_INLINE float squared_norm(const float* v, size_t count) {
  Vec squares = zero();
  for (size_t j = 0; j < count; j += kWidth) {
    const Vec x = load(v + j);
    squares = fma(x, x, squares);
  }
  return sum(squares);
}

LORAKEET_INLINE float squared_norm_of_few(const float* v, uint32_t count) {
  float squares = 0;
  for (uint32_t k = 0; k < count; k++) squares += v[k] * v[k];
  return squares;
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

// The gradient passes over both matrices, each finished vector going to `tail` at its place within the matrix.
template <typename Tail>
LORAKEET_INLINE void gradient_of_a(const SlotShape& shape, const Chunk& chunk, const float* partial,
                                   const Scratch& scratch, Tail& tail, Ahead& ahead) {
  gradient_pass(chunk.rows, chunk.n, shape.in_tiles, scratch.backward, shape.rank, partial, tail, ahead);
}
template <typename Tail>
LORAKEET_INLINE void gradient_of_b(const SlotShape& shape, const Chunk& chunk, const float* partial,
                                   const Scratch& scratch, Tail& tail, Ahead& ahead) {
  gradient_pass(chunk.errors, chunk.n, shape.out_tiles, scratch.weighted, shape.rank,
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

// A single row's gradients are outer products, whose norms are products of norms: the clip factor is known before a
// gradient is, and each vector of it goes straight into the step.
template <bool AdamW, lorakeet_ewc Ewc, typename State>
static bool step_on_one_row(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, const Chunk& chunk,
                            const Scratch& scratch, Ahead& ahead) {
  const double norm2 =
      product(squared_norm(chunk.rows[0], padded(shape.in_tiles)), squared_norm_of_few(scratch.backward, shape.rank)) +
      product(squared_norm(chunk.errors[0], padded(shape.out_tiles)),
              squared_norm_of_few(scratch.weighted, shape.rank));
  float scale;
  if (!clip_factor(job, norm2, &scale)) return false;
  return take_safely(shape, hyper, job, scale, scratch, [&] {
    Stepper<AdamW, Ewc, State> stepper(shape, job.slot, step_of(hyper, job, scale));
    gradient_of_a(shape, chunk, nullptr, scratch, stepper, ahead);
    stepper.start = shape.loraB;
    gradient_of_b(shape, chunk, nullptr, scratch, stepper, ahead);
  });
}

// Gradients of the last chunk on top of `partial`, those of the chunks before it (or null); then the step.
template <bool AdamW, lorakeet_ewc Ewc, typename State>
static bool step_on_rows(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, const Chunk& chunk,
                         const float* partial, const Scratch& scratch, Ahead& ahead) {
  double norm2 = 0;
  for (int of_b = 0; of_b < 2; of_b++) {
    const size_t start = of_b ? shape.loraB : 0;
    NormTail<Ewc, State> tail = {
        scratch.gradient + start, job.slot.weights + start, nullptr, nullptr, broadcast(job.ewc_lambda), zero()};
    if (Ewc == LORAKEET_EWC_GRADIENT) {
      tail.fisher = section_at<State>(job.slot, shape.fisher) + start;
      tail.anchor = section_at<State>(job.slot, shape.anchor) + start;
    }
    if (!of_b) {
      gradient_of_a(shape, chunk, partial, scratch, tail, ahead);
    } else {
      gradient_of_b(shape, chunk, partial, scratch, tail, ahead);
    }
    norm2 += sum(tail.squares);
  }
  float scale;
  if (!clip_factor(job, norm2, &scale)) return false;
  return take_safely(shape, hyper, job, scale, scratch, [&] {
    Stepper<AdamW, Ewc, State> stepper(shape, job.slot, step_of(hyper, job, scale));
    for (size_t tile = 0; tile < shape.section; tile += kTile) {
      ahead.worked(kStepWork);
      LORAKEET_UNROLL for (size_t j = tile; j < tile + kTile; j += kWidth) stepper(load(scratch.gradient + j), j);
    }
  });
}

template <bool AdamW, lorakeet_ewc Ewc, typename State>
static bool finish_update(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, const Chunk& chunk,
                          const float* partial, const Scratch& scratch, Ahead& ahead) {
  // the penalty's own gradient has no such shape
  if (job.rows == 1 && Ewc != LORAKEET_EWC_GRADIENT)
    return step_on_one_row<AdamW, Ewc, State>(shape, hyper, job, chunk, scratch, ahead);
  return step_on_rows<AdamW, Ewc, State>(shape, hyper, job, chunk, partial, scratch, ahead);
}

template <bool AdamW>
LORAKEET_INLINE auto finisher(uint32_t ewc, bool bf16) {
  if (ewc == LORAKEET_EWC_NONE) return finish_update<AdamW, LORAKEET_EWC_NONE, float>;
  if (ewc == LORAKEET_EWC_PROXIMAL) {
    return bf16 ? finish_update<AdamW, LORAKEET_EWC_PROXIMAL, Bf16>
                : finish_update<AdamW, LORAKEET_EWC_PROXIMAL, float>;
  }
  return bf16 ? finish_update<AdamW, LORAKEET_EWC_GRADIENT, Bf16> : finish_update<AdamW, LORAKEET_EWC_GRADIENT, float>;
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
  // a single row's step goes with its gradient and has no pass of its own
  const double step_work = job.rows == 1 ? 0 : kStepWork;
  ahead.spread_over((2.5 * job.rows + step_work) * static_cast<double>(shape.section) / kTile);
  return ahead;
}

static void update(const SlotShape& shape, const Hyperparameters& hyper, SlotUpdate& job, const Scratch& scratch) {
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
  const uint32_t rank = shape.rank;
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
    loss += error_pass(shape, bt, scratch.hidden, hyper.residual ? chunk.rows : nullptr, chunk.targets,
                       chunk.coefficient, chunk.n, scratch.errors, ahead);
    project(bt, rank, shape.out_tiles, chunk.errors, chunk.n, hyper.scaling, scratch.hidden, ahead);
    weigh(scratch.hidden, chunk, rank, scratch.backward);
    const float* partial = done ? scratch.gradient : nullptr;
    if (done + chunk.n < job.rows) {
      StoreTail tail = {scratch.gradient};
      gradient_of_a(shape, chunk, partial, scratch, tail, ahead);
      tail.gradient += shape.loraB;
      gradient_of_b(shape, chunk, partial, scratch, tail, ahead);
      continue;
    }
    job.loss = static_cast<float>(loss * 0.5);
    if (!finite(job.loss)) {
      job.flags = LORAKEET_FLAG_REJECTED;
      return;
    }
    // Before the first consolidation there is nothing to hold on to: the penalty is zero, and so is its gradient.
    const uint32_t ewc = job.bounds.fisher > 0 && job.ewc_lambda > 0 ? hyper.ewc : uint32_t{LORAKEET_EWC_NONE};
    const auto finish = hyper.adamw ? finisher<true>(ewc, shape.bf16) : finisher<false>(ewc, shape.bf16);
    if (!finish(shape, hyper, job, chunk, partial, scratch, ahead)) job.flags = LORAKEET_FLAG_REJECTED;
  }
}

}  // namespace
}  // namespace lorakeet
