// The adapter kernels, once for all instruction sets: each kernels_<isa>.cc includes this file under its own flags.
//
// Notation: A = loraA [rank × in], B = loraB [out × rank], s = scaling, row x, target t, weight w. See docs/math.md.
// Every number of a slot is computed from that slot and its own rows, in an order that depends only on their shape;
// what else is in the batch, and how rows are blocked into registers, never changes a bit of it.

#include "lorakeet/kernels.h"
#include "products.inl"
#include "step.inl"

namespace lorakeet {
namespace {

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
