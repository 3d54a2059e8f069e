// The adapter kernels, once for all instruction sets: each kernels_<isa>.cc includes this file under its own flags.
//
// Notation: A = loraA [rank × in], B = loraB [out × rank], s = scaling, row x, target t, weight w. See docs/math.md.
// Every number of a slot is computed from that slot and its own rows, in an order that depends only on their shape;
// what else is in the batch, and how rows are blocked into registers, never changes a bit of it.

#include <string.h>

#include "lorakeet/kernels.h"
#include "slot.h"
#include "vec.h"

#if defined(__GNUC__)
#define LORAKEET_UNROLL _Pragma("GCC unroll 16")
#else
#define LORAKEET_UNROLL
#endif

namespace lorakeet {
namespace {

constexpr int kSub = kTile / kWidth;                  // vectors per tile
constexpr int kRankBlock = kRegisters == 32 ? 8 : 4;  // ranks × rows of accumulators that fit the registers
constexpr int kRowBlock = kRegisters == 32 || kWidth == 8 ? 3 : 2;
constexpr int kExpandRows = 4;

LORAKEET_INLINE size_t padded(uint32_t tiles) { return static_cast<size_t>(tiles) * kTile; }

// Rows of scratch are this far apart: a stride that is no power of two keeps them out of each other's cache sets.
LORAKEET_INLINE size_t row_stride(uint32_t tiles) { return padded(tiles) + kTile; }

// x − x is 0 for finite x and NaN otherwise.
LORAKEET_INLINE bool finite(float x) { return x - x == 0.0f; }
LORAKEET_INLINE bool all_finite(Vec zero_or_nan) { return sum(zero_or_nan) == 0.0f; }

// ---- rows

// Points rows[i] at row first + i, padded with zeros to whole tiles: in place where it already is, else through
// `copies`.
LORAKEET_INLINE void resolve_rows(const RowSource& source, uint32_t tiles, size_t first, uint32_t count, float* copies,
                                  const float** rows) {
  if (source.ids) {
    for (uint32_t i = 0; i < count; i++) rows[i] = source.table + source.ids[first + i] * padded(tiles);
    return;
  }
  const float* vectors = source.vectors + first * source.features;
  const bool whole_tiles = source.features % kTile == 0;
  for (uint32_t i = 0; i < count; i++) {
    const float* row = vectors + static_cast<size_t>(i) * source.features;
    if (whole_tiles) {
      rows[i] = row;
      continue;
    }
    float* copy = copies + i * row_stride(tiles);
    memcpy(copy, row, source.features * sizeof(float));
    memset(copy + source.features, 0, (padded(tiles) - source.features) * sizeof(float));
    rows[i] = copy;
  }
}

// ---- out[i][k] = scale · Σ_d M[k][d]·row_i[d]
// Reads M once per block of rows; a block's sums stay in registers from the first tile to the last.

template <int Ranks, int Rows>
LORAKEET_INLINE void project_block(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows, float scale,
                                   float* out) {
  Vec sums[Rows][Ranks];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) sums[i][k] = zero();
  const float* tile = m;
  for (size_t at = 0; at < padded(tiles); at += kTile, tile += static_cast<size_t>(rank) * kTile) {
    LORAKEET_UNROLL for (int part = 0; part < static_cast<int>(kTile); part += kWidth) {
      Vec x[Rows];
      LORAKEET_UNROLL for (int i = 0; i < Rows; i++) x[i] = load(rows[i] + at + part);
      LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
        const Vec a = load(tile + k * kTile + part);
        LORAKEET_UNROLL for (int i = 0; i < Rows; i++) sums[i][k] = fma(a, x[i], sums[i][k]);
      }
    }
  }
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k += 4) {
      float four[4];
      store_sums(four, sums[i][k], k + 1 < Ranks ? sums[i][k + 1 < Ranks ? k + 1 : k] : zero(),
                 k + 2 < Ranks ? sums[i][k + 2 < Ranks ? k + 2 : k] : zero(),
                 k + 3 < Ranks ? sums[i][k + 3 < Ranks ? k + 3 : k] : zero());
      for (int j = 0; j < 4 && k + j < Ranks; j++) out[i * rank + k + j] = scale * four[j];
    }
  }
}

template <int Ranks>
LORAKEET_INLINE void project_ranks(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows,
                                   uint32_t count, float scale, float* out) {
  uint32_t i = 0;
  for (; i + kRowBlock <= count; i += kRowBlock) {
    project_block<Ranks, kRowBlock>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank);
  }
  for (; i < count; i++) project_block<Ranks, 1>(m, rank, tiles, rows + i, scale, out + static_cast<size_t>(i) * rank);
}

static void project(const float* m, uint32_t rank, uint32_t tiles, const float* const* rows, uint32_t count,
                    float scale, float* out) {
  uint32_t k = 0;
  for (; k + kRankBlock <= rank; k += kRankBlock) {
    project_ranks<kRankBlock>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
  }
  for (; k + 4 <= rank; k += 4) project_ranks<4>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
  for (; k < rank; k++) project_ranks<1>(m + k * kTile, rank, tiles, rows, count, scale, out + k);
}

// ---- sums[i] += Σ_k hidden[i][k]·B[·][k] over one tile of Bᵀ

template <int Rows>
LORAKEET_INLINE void expand_tile(const float* tile, uint32_t rank, const float* hidden, Vec (&sums)[Rows][kSub]) {
  for (uint32_t k = 0; k < rank; k++) {
    Vec b[kSub];
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) b[part] = load(tile + k * kTile + part * kWidth);
    LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
      const Vec h = broadcast(hidden[static_cast<size_t>(i) * rank + k]);
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) sums[i][part] = fma(b[part], h, sums[i][part]);
    }
  }
}

// ---- y = (x +) B·hidden

template <int Rows>
LORAKEET_INLINE void apply_tile(const float* tile, uint32_t rank, const float* hidden, const float* const* rows,
                                size_t at, float* const* y) {
  Vec sums[Rows][kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
      sums[i][part] = rows ? load(rows[i] + at + part * kWidth) : zero();
    }
  }
  expand_tile<Rows>(tile, rank, hidden, sums);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) store(y[i] + at + part * kWidth, sums[i][part]);
  }
}

static void apply(const SlotShape& shape, const Hyperparameters& hyper, const float* slot, const RowSource& x,
                  uint32_t first_row, uint32_t count, float* y, const Scratch& scratch) {
  const uint32_t rank = shape.rank;
  const float* bt = slot + shape.loraB;
  const bool whole_tiles = shape.out_features % kTile == 0;
  for (uint32_t done = 0; done < count; done += kChunk) {
    const uint32_t n = count - done < kChunk ? count - done : kChunk;
    const float* rows[kChunk];
    float* out[kChunk];
    resolve_rows(x, shape.in_tiles, static_cast<size_t>(first_row) + done, n, scratch.rows, rows);
    project(slot, rank, shape.in_tiles, rows, n, hyper.scaling, scratch.hidden);
    float* dense = y + static_cast<size_t>(done) * shape.out_features;
    for (uint32_t i = 0; i < n; i++) {
      out[i] = whole_tiles ? dense + static_cast<size_t>(i) * shape.out_features
                           : scratch.errors + i * row_stride(shape.out_tiles);
    }
    const float* const* base = hyper.residual ? rows : nullptr;
    const float* tile = bt;
    for (size_t at = 0; at < padded(shape.out_tiles); at += kTile, tile += static_cast<size_t>(rank) * kTile) {
      uint32_t i = 0;
      for (; i + kExpandRows <= n; i += kExpandRows) {
        apply_tile<kExpandRows>(tile, rank, scratch.hidden + static_cast<size_t>(i) * rank, base ? base + i : nullptr,
                                at, out + i);
      }
      for (; i < n; i++) {
        apply_tile<1>(tile, rank, scratch.hidden + static_cast<size_t>(i) * rank, base ? base + i : nullptr, at,
                      out + i);
      }
    }
    if (!whole_tiles) {
      for (uint32_t i = 0; i < n; i++) {
        memcpy(dense + static_cast<size_t>(i) * shape.out_features, out[i], shape.out_features * sizeof(float));
      }
    }
  }
}

// ---- errors[i] = c_i·e_i with e = y − t; loss += Σ c_i·|e_i|²

template <int Rows>
LORAKEET_INLINE void error_tile(const float* tile, uint32_t rank, const float* hidden, const float* const* rows,
                                const float* const* targets, const float* coefficient, size_t at, float* errors,
                                size_t stride, Vec& loss) {
  Vec e[Rows][kSub];
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
      const Vec base = rows ? load(rows[i] + at + part * kWidth) : zero();
      e[i][part] = sub(base, load(targets[i] + at + part * kWidth));
    }
  }
  expand_tile<Rows>(tile, rank, hidden, e);
  LORAKEET_UNROLL for (int i = 0; i < Rows; i++) {
    const Vec c = broadcast(coefficient[i]);
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
      const Vec weighted = mul(e[i][part], c);
      loss = fma(weighted, e[i][part], loss);
      store(errors + i * stride + at + part * kWidth, weighted);
    }
  }
}

static float error_pass(const SlotShape& shape, const float* bt, const float* hidden, const float* const* rows,
                        const float* const* targets, const float* coefficient, uint32_t n, float* errors) {
  const size_t stride = row_stride(shape.out_tiles);
  Vec loss = zero();
  const float* tile = bt;
  for (size_t at = 0; at < padded(shape.out_tiles); at += kTile, tile += static_cast<size_t>(shape.rank) * kTile) {
    uint32_t i = 0;
    for (; i + kExpandRows <= n; i += kExpandRows) {
      error_tile<kExpandRows>(tile, shape.rank, hidden + static_cast<size_t>(i) * shape.rank, rows ? rows + i : nullptr,
                              targets + i, coefficient + i, at, errors + i * stride, stride, loss);
    }
    for (; i < n; i++) {
      error_tile<1>(tile, shape.rank, hidden + static_cast<size_t>(i) * shape.rank, rows ? rows + i : nullptr,
                    targets + i, coefficient + i, at, errors + i * stride, stride, loss);
    }
  }
  return sum(loss);
}

// ---- gradient[·][k] (+)= Σ_i coefficient[i][k]·row_i

template <int Ranks>
LORAKEET_INLINE void gradient_tile(const float* const* rows, uint32_t n, size_t at, const float* coefficient,
                                   uint32_t rank, bool first, float* tile) {
  Vec sums[Ranks][kSub];
  LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
      sums[k][part] = first ? zero() : load(tile + k * kTile + part * kWidth);
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    Vec x[kSub];
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) x[part] = load(rows[i] + at + part * kWidth);
    LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
      const Vec c = broadcast(coefficient[static_cast<size_t>(i) * rank + k]);
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) sums[k][part] = fma(x[part], c, sums[k][part]);
    }
  }
  LORAKEET_UNROLL for (int k = 0; k < Ranks; k++) {
    LORAKEET_UNROLL for (int part = 0; part < kSub; part++) store(tile + k * kTile + part * kWidth, sums[k][part]);
  }
}

static void gradient_pass(const float* const* rows, uint32_t n, uint32_t tiles, const float* coefficient, uint32_t rank,
                          bool first, float* gradient) {
  float* tile = gradient;
  for (size_t at = 0; at < padded(tiles); at += kTile, tile += static_cast<size_t>(rank) * kTile) {
    uint32_t k = 0;
    for (; k + 4 <= rank; k += 4) gradient_tile<4>(rows, n, at, coefficient + k, rank, first, tile + k * kTile);
    for (; k < rank; k++) gradient_tile<1>(rows, n, at, coefficient + k, rank, first, tile + k * kTile);
  }
}

// ---- the step

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

// ---- update
// Per chunk of rows, with h = s·A·x and c = 2w/(out·Σw):
//   errors e = (x +) B·h − t;  loss += Σ c·|e|²/2;  b = s·Bᵀ(c·e);  ∂B += Σ (c·e)·hᵀ;  ∂A += Σ b·xᵀ
// then once per slot: norm, clip, step, and the copy of the new state into the slot.

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
  const float* a = job.slot;
  const float* bt = job.slot + shape.loraB;
  const double per_weight = 2.0 / (shape.out_features * weight_sum);
  double loss = 0;
  for (uint32_t done = 0; done < job.rows; done += kChunk) {
    const uint32_t n = job.rows - done < kChunk ? job.rows - done : kChunk;
    const size_t first = static_cast<size_t>(job.first_row) + done;
    const float *rows[kChunk], *targets[kChunk], *errors[kChunk];
    float coefficient[kChunk];
    resolve_rows(job.x, shape.in_tiles, first, n, scratch.rows, rows);
    resolve_rows(job.target, shape.out_tiles, first, n, scratch.targets, targets);
    for (uint32_t i = 0; i < n; i++) {
      errors[i] = scratch.errors + i * row_stride(shape.out_tiles);
      coefficient[i] = static_cast<float>(job.row_weight ? job.row_weight[done + i] * per_weight : per_weight);
    }
    project(a, rank, shape.in_tiles, rows, n, hyper.scaling, scratch.hidden);
    loss +=
        error_pass(shape, bt, scratch.hidden, hyper.residual ? rows : nullptr, targets, coefficient, n, scratch.errors);
    project(bt, rank, shape.out_tiles, errors, n, hyper.scaling, scratch.backward);
    gradient_pass(rows, n, shape.in_tiles, scratch.backward, rank, done == 0, scratch.gradient);
    gradient_pass(errors, n, shape.out_tiles, scratch.hidden, rank, done == 0, scratch.gradient + shape.loraB);
  }
  job.loss = static_cast<float>(loss * 0.5);
  const double norm2 =
      gradient_norm2(shape, job.slot, hyper.ewc == LORAKEET_EWC_GRADIENT, job.ewc_lambda, scratch.gradient);
  job.grad_norm = static_cast<float>(sqrt(norm2));
  if (!finite(job.loss) || !finite(job.grad_norm)) {
    job.flags = LORAKEET_FLAG_REJECTED;
    return;
  }
  float scale = 1.0f;
  const bool clipped = job.grad_norm > job.max_grad_norm;
  if (clipped) scale = job.max_grad_norm / job.grad_norm;
  if (!take_step(shape, hyper, job, scale, scratch)) {
    job.flags = LORAKEET_FLAG_REJECTED;
    return;
  }
  memcpy(job.slot, scratch.gradient, shape.section * sizeof(float));
  if (hyper.adamw) {
    memcpy(job.slot + shape.moment1, scratch.moment1, shape.section * sizeof(float));
    memcpy(job.slot + shape.moment2, scratch.moment2, shape.section * sizeof(float));
  }
  job.flags = clipped ? LORAKEET_FLAG_CLIPPED : 0;
}

// ---- consolidate
// F ← γF + F_task with the Gauss–Newton Fisher of squared error, per row:
//   F_A[k][j] = s²·E[x_j²]·Σ_o B[o][k]²      F_B[o][k] = s²·E[z_k²],  z = A·x      anchor ← θ

static bool consolidate(const SlotShape& shape, const Hyperparameters& hyper, const SlotConsolidation& job,
                        const Scratch& scratch, bool commit) {
  const uint32_t rank = shape.rank;
  float* squares = scratch.gradient;    // Σ x_j², padded; the rest of the section holds the new Fisher
  float* b_squares = scratch.backward;  // Σ_o B[o][k]²
  double z_squares[256];
  memset(squares, 0, padded(shape.in_tiles) * sizeof(float));
  for (uint32_t k = 0; k < rank; k++) z_squares[k] = 0;
  for (uint32_t done = 0; done < job.rows; done += kChunk) {
    const uint32_t n = job.rows - done < kChunk ? job.rows - done : kChunk;
    const float* rows[kChunk];
    resolve_rows(job.x, shape.in_tiles, static_cast<size_t>(job.first_row) + done, n, scratch.rows, rows);
    project(job.slot, rank, shape.in_tiles, rows, n, hyper.scaling, scratch.hidden);  // s·z
    for (uint32_t i = 0; i < n; i++) {
      const float* hidden = scratch.hidden + static_cast<size_t>(i) * rank;
      for (uint32_t k = 0; k < rank; k++) z_squares[k] += static_cast<double>(hidden[k]) * hidden[k];
      for (size_t j = 0; j < padded(shape.in_tiles); j += kWidth) {
        const Vec x = load(rows[i] + j);
        store(squares + j, fma(x, x, load(squares + j)));
      }
    }
  }
  const float* bt = job.slot + shape.loraB;
  const double rows_inverse = 1.0 / job.rows;
  const float s2_mean = static_cast<float>(static_cast<double>(hyper.scaling) * hyper.scaling * rows_inverse);
  for (uint32_t k = 0; k < rank; k++) {
    Vec total = zero();
    for (uint32_t tile = 0; tile < shape.out_tiles; tile++) {
      LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
        const Vec b = load(bt + (static_cast<size_t>(tile) * rank + k) * kTile + part * kWidth);
        total = fma(b, b, total);
      }
    }
    b_squares[k] = sum(total) * s2_mean;
  }

  float* fisher = job.slot + shape.fisher;
  const Vec decay = broadcast(job.decay);
  Vec check = zero();
  const uint32_t tiles[2] = {shape.in_tiles, shape.out_tiles};
  for (int matrix = 0; matrix < 2; matrix++) {
    float* f = fisher + (matrix ? shape.loraB : 0);
    for (uint32_t tile = 0; tile < tiles[matrix]; tile++) {
      for (uint32_t k = 0; k < rank; k++, f += kTile) {
        LORAKEET_UNROLL for (int part = 0; part < kSub; part++) {
          const Vec task = matrix ? broadcast(static_cast<float>(z_squares[k] * rows_inverse))
                                  : mul(broadcast(b_squares[k]), load(squares + tile * kTile + part * kWidth));
          const Vec next = fma(decay, load(f + part * kWidth), task);
          check = add(check, sub(next, next));
          if (commit) store(f + part * kWidth, next);
        }
      }
    }
  }
  if (!all_finite(check)) return false;
  if (commit) memcpy(job.slot + shape.anchor, job.slot, shape.section * sizeof(float));
  return true;
}

}  // namespace
}  // namespace lorakeet
