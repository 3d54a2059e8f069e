// One optimizer step of one slot on its rows, by one block or, for large shapes, by a cluster of blocks of which each
// owns some columns of A, Bᵀ and the rows. docs/math.md derives the equations.
//
//   phase         reads                        computes                                          writes
//   load          θ, x, t  (global)            –                                                 shared memory
//   hidden        A, x                         h[i,k] = s·Σ_j A[k,j]·x[i,j]                      h, summed over the
//   cluster error         B, h, x, t                   d = (x +) B·h − t,  e = c_i·d,  Σ e·d/2           e, in place of
//   t backward      B, e                         g[i,k] = s·Σ_o B[o,k]·e[i,o]                      g, summed over the
//   cluster gradient      g, x, h, e                   ∂A[k,j] = Σ_i g·x,  ∂B[o,k] = Σ_i h·e,  Σ ∂²      ∂ pull θ, ∂,
//   F, θ*                  ∂ + λ·F·(θ − θ*),  Σ ∂²    (EWC as a gradient)       ∂ step          θ, ∂, F, θ*, moments
//   θ', and whether all of it is finite               θ', in place of θ commit        θ', ∂, moments               new
//   moments                                       θ', moments (global)
//
// with c_i = 2·w_i/(out·Σw), which the host works out. More than kChunk rows repeat the phases from load to gradient.
// `Resident`: θ, ∂ and the rows lie in shared memory, so θ and the rows are read once and the state is written once;
// Fisher, anchor and moments are fetched into the second-level cache while the earlier phases run, and so are the next
// user's weights and rows. Otherwise θ and the rows are read where they are, and ∂, e and θ' go through scratch memory.
//
// A slot is written in the last phase only: one that is rejected is never touched.
#pragma once

#include "products.h"
#include "step.h"

namespace lorakeet::cuda {

// Of one block.
LORAKEET_BOTH uint32_t update_shared_floats(const Model& model, const Plan& plan, uint32_t chunk) {
  uint32_t floats = kChunk * 3 * model.rank_pitch();
  if (plan.resident) {
    const uint32_t columns =
        Share(model.in_pitch(), 0, plan.ranks).count + Share(model.out_pitch(), 0, plan.ranks).count;
    floats += (2 * model.rank + chunk) * columns;
  }
  return floats;
}

// Of one cluster.
LORAKEET_BOTH uint64_t update_scratch_floats(const Model& model, const Plan& plan) {
  return plan.resident ? 0 : 2ull * model.section() + static_cast<uint64_t>(kChunk) * model.out_pitch();
}

// A and Bᵀ, or anything of their shape, as far as the block owns them: row k of either, and the columns that it owns.
template <class Number>
struct Matrices {
  Number *a, *b;
  uint32_t a_pitch, b_pitch;

  LORAKEET_DEVICE Number* row(bool in_a, uint32_t k) const { return in_a ? a + k * a_pitch : b + k * b_pitch; }
};

template <bool kResident, class State>
struct UserUpdate {
  const Block& block;
  const UpdateBatch& batch;
  const Model& model;
  const Frame<State> frame;
  const Share in, out;  // the columns of this block
  float coefficient;    // c_i where rows have no weights of their own

  Matrices<float> weights, next, gradient;  // θ, θ', ∂
  float* x;                                 // [chunk × in.count], resident only
  float* error;                             // [chunk × error_pitch]
  uint32_t error_pitch;
  float *hidden, *backward, *partial;  // shared [kChunk × rank'] each

  LORAKEET_DEVICE UserUpdate(const Block& block, const UpdateBatch& batch, uint32_t user, float* scratch)
      : block(block),
        batch(batch),
        model(batch.model),
        frame(batch.frames[user], batch.layout),
        in(batch.model.in_pitch(), block.rank, block.ranks),
        out(batch.model.out_pitch(), block.rank, block.ranks) {
    hidden = block.shared;
    backward = hidden + kChunk * model.rank_pitch();
    partial = backward + kChunk * model.rank_pitch();
    if (kResident) {
      float* a = partial + kChunk * model.rank_pitch();
      const uint32_t length = model.rank * (in.count + out.count);
      weights = next = {a, a + model.rank * in.count, in.count, out.count};
      gradient = {a + length, a + length + model.rank * in.count, in.count, out.count};
      x = a + 2 * length;
      error = x + batch.chunk * in.count;
      error_pitch = out.count;
    } else {
      weights = of_frame(frame.weights());
      gradient = of_frame(scratch);
      next = of_frame(scratch + model.section());
      x = nullptr;
      error = scratch + 2 * model.section() + out.first;
      error_pitch = model.out_pitch();
    }
  }

  // The columns of this block of a section that is laid out as in a frame.
  template <class Number>
  LORAKEET_DEVICE Matrices<Number> of_frame(Number* section) const {
    return {section + in.first, section + model.rank * model.in_pitch() + out.first, model.in_pitch(),
            model.out_pitch()};
  }

  LORAKEET_DEVICE const float* x_row(uint32_t first, uint32_t i) const {
    return kResident ? x + i * in.count : batch.x[first + i] + in.first;
  }

  // ---- the pieces that elementwise phases share out: four ranks × four columns of A or of Bᵀ

  struct Piece {
    bool in_a;
    uint32_t k, column;
  };

  LORAKEET_DEVICE uint32_t pieces() const { return quads(model.rank) * (in.count + out.count) / kQuad; }

  LORAKEET_DEVICE Piece piece(uint32_t item) const {
    const uint32_t across = (in.count + out.count) / kQuad, q = item % across;
    const bool in_a = q < in.count / kQuad;
    return {in_a, item / across * kQuad, (in_a ? q : q - in.count / kQuad) * kQuad};
  }

  // ---- phases

  // Weights (with the first rows) and rows first … first + count − 1.
  LORAKEET_DEVICE void load(uint32_t first, uint32_t count, bool with_weights) const {
    if (!kResident) return;
    const uint32_t row_bytes = (in.count + out.count) * sizeof(float);
    block.expect((count + (with_weights ? model.rank : 0)) * row_bytes);
    if (with_weights) {
      const Matrices<float> from = of_frame(frame.weights());
      const uint32_t rows = block.ranks == 1 ? 1 : model.rank;  // the whole section is one piece
      const uint32_t whole = block.ranks == 1 ? model.rank : 1;
      if (in.count) {
        block.load(rows, [&](uint32_t k) -> SharedCopy {
          return {weights.row(true, k), from.row(true, k), whole * in.count * static_cast<uint32_t>(sizeof(float))};
        });
      }
      if (out.count) {
        block.load(rows, [&](uint32_t k) -> SharedCopy {
          return {weights.row(false, k), from.row(false, k), whole * out.count * static_cast<uint32_t>(sizeof(float))};
        });
      }
    }
    if (in.count) {
      block.load(count, [&](uint32_t i) -> SharedCopy {
        return {x + i * in.count, batch.x[first + i] + in.first, in.count * static_cast<uint32_t>(sizeof(float))};
      });
    }
    if (out.count) {
      block.load(count, [&](uint32_t i) -> SharedCopy {
        return {error + i * out.count, batch.target[first + i] + out.first,
                out.count * static_cast<uint32_t>(sizeof(float))};
      });
    }
    block.wait();
  }

  // Brings this block's part of what lies at `memory` into the second-level cache.
  LORAKEET_DEVICE void fetch(const void* memory, uint64_t bytes) const {
    const uint64_t part = round_up((bytes + block.ranks - 1) / block.ranks, 128), start = block.rank * part;
    if (start < bytes) {
      block.prefetch(static_cast<const char*>(memory) + start, bytes - start < part ? bytes - start : part);
    }
  }

  // result[i,k] = s·Σ_c row(i)[c]·vector(k)[c] over the columns of the whole cluster
  template <class Row, class Vector>
  LORAKEET_DEVICE void multiply(float* result, uint32_t rows, uint32_t columns, Row row, Vector vector) const {
    float* sums = block.ranks == 1 ? result : partial;
    products<kQuad>(block, rows, model.rank, columns, row, vector,
                    [&](uint32_t i, uint32_t k, float sum) { sums[i * model.rank_pitch() + k] = model.scaling * sum; });
    if (block.ranks > 1) block.cluster_sum(partial, result, rows * model.rank_pitch());
  }

  // Replaces targets by weighted errors; returns this block's part of the loss.
  LORAKEET_DEVICE float error_phase(uint32_t first, uint32_t count) const {
    const uint32_t across = out.count / kQuad;
    return static_cast<float>(block.sum(quads(count) * across, [&](uint32_t item) {
      const uint32_t i0 = item / across * kQuad, column = item % across * kQuad;
      Quad d[kQuad] = {};
      add_combination<kQuad>(d, hidden, i0, count, model.rank,
                             [&](uint32_t k) { return weights.row(false, k) + column; });
      float loss = 0;
      LORAKEET_UNROLL for (uint32_t t = 0; t < kQuad; t++) {
        const uint32_t i = i0 + t;
        if (i >= count) break;
        float* e = error + i * error_pitch + column;
        if (model.residual) d[t].add(1, load_quad(x_row(first, i) + column));
        d[t].add(-1, load_quad(kResident ? e : batch.target[first + i] + out.first + column));
        Quad weighted = {};
        weighted.add(batch.coefficient ? batch.coefficient[first + i] : coefficient, d[t]);
        store_quad(e, weighted);
        loss = add_product(weighted, d[t], loss);
      }
      return 0.5f * loss;
    }));
  }

  // Adds the rows' gradient; returns this block's Σ ∂², which only means something after the last rows.
  LORAKEET_DEVICE float gradient_phase(uint32_t first, uint32_t count, bool is_first) const {
    return static_cast<float>(block.sum(pieces(), [&](uint32_t item) {
      const Piece at = piece(item);
      const float* coefficients = (at.in_a ? backward : hidden) + at.k;
      Quad g[kQuad] = {};
      LORAKEET_NO_UNROLL for (uint32_t i = 0; i < count; i++) {
        const Quad row = load_quad((at.in_a ? x_row(first, i) : error + i * error_pitch) + at.column);
        const Quad c = load_quad(coefficients + i * model.rank_pitch());
        LORAKEET_UNROLL for (uint32_t t = 0; t < kQuad; t++) g[t].add(c.v[t], row);
      }
      float squares = 0;
      LORAKEET_UNROLL for (uint32_t t = 0; t < kQuad; t++) {
        const uint32_t k = at.k + t;
        if (k >= model.rank) break;
        float* sum = gradient.row(at.in_a, k) + at.column;
        if (!is_first) g[t].add(1, load_quad(sum));
        store_quad(sum, g[t]);
        squares = add_product(g[t], g[t], squares);
      }
      return squares;
    }));
  }

  // Adds λ·F·(θ − θ*), which belongs to the gradient and to its norm; returns this block's Σ ∂².
  LORAKEET_DEVICE float pull_phase(float ewc_lambda) const {
    return static_cast<float>(block.sum(pieces(), [&](uint32_t item) {
      const Piece at = piece(item);
      float squares = 0;
      LORAKEET_NO_UNROLL for (uint32_t t = 0; t < kQuad; t++) {
        const uint32_t k = at.k + t;
        if (k >= model.rank) break;
        const Quad f = load_quad(of_frame(frame.fisher()).row(at.in_a, k) + at.column);
        const Quad anchor = load_quad(of_frame(frame.anchor()).row(at.in_a, k) + at.column);
        const Quad theta = load_quad(weights.row(at.in_a, k) + at.column);
        Quad g = load_quad(gradient.row(at.in_a, k) + at.column);
        LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) {
          g.v[c] += ewc_lambda * f.v[c] * (theta.v[c] - anchor.v[c]);
        }
        store_quad(gradient.row(at.in_a, k) + at.column, g);
        squares = add_product(g, g, squares);
      }
      return squares;
    }));
  }

  // Computes θ'; returns how many of this block's new numbers are not finite.
  LORAKEET_DEVICE float step_phase(const Step& step) const {
    return static_cast<float>(block.sum(pieces(), [&](uint32_t item) {
      const Piece at = piece(item);
      uint32_t bad = 0;
      LORAKEET_NO_UNROLL for (uint32_t t = 0; t < kQuad; t++) {
        const uint32_t k = at.k + t;
        if (k >= model.rank) break;
        Quad theta = load_quad(weights.row(at.in_a, k) + at.column);
        const Quad g = load_quad(gradient.row(at.in_a, k) + at.column);
        Quad f = {}, anchor = {}, m = {}, v = {};
        if (model.ewc == LORAKEET_EWC_PROXIMAL) {
          f = load_quad(of_frame(frame.fisher()).row(at.in_a, k) + at.column);
          anchor = load_quad(of_frame(frame.anchor()).row(at.in_a, k) + at.column);
        }
        if (model.adamw) {
          m = load_quad(of_frame(frame.moment1()).row(at.in_a, k) + at.column);
          v = load_quad(of_frame(frame.moment2()).row(at.in_a, k) + at.column);
        }
        LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) {
          Step::Parameter p = {theta.v[c], m.v[c], v.v[c]};
          step(model, &p, g.v[c], f.v[c], anchor.v[c]);
          theta.v[c] = p.weight;
          bad += !(finite(p.weight) && finite(p.moment1) && finite(p.moment2));
        }
        store_quad(next.row(at.in_a, k) + at.column, theta);
      }
      return static_cast<float>(bad);
    }));
  }

  LORAKEET_DEVICE void commit(const Step& step, uint32_t steps) const {
    block.for_each(pieces(), [&](uint32_t item) {
      const Piece at = piece(item);
      LORAKEET_NO_UNROLL for (uint32_t t = 0; t < kQuad; t++) {
        const uint32_t k = at.k + t;
        if (k >= model.rank) break;
        store_quad(of_frame(frame.weights()).row(at.in_a, k) + at.column, load_quad(next.row(at.in_a, k) + at.column));
        if (model.adamw) {
          float* m_at = of_frame(frame.moment1()).row(at.in_a, k) + at.column;
          float* v_at = of_frame(frame.moment2()).row(at.in_a, k) + at.column;
          Quad m = load_quad(m_at), v = load_quad(v_at);
          const Quad g = load_quad(gradient.row(at.in_a, k) + at.column);
          LORAKEET_UNROLL for (uint32_t c = 0; c < kQuad; c++) {
            Step::Parameter p = {0, m.v[c], v.v[c]};
            step.advance(model, &p, g.v[c]);
            m.v[c] = p.moment1;
            v.v[c] = p.moment2;
          }
          store_quad(m_at, m);
          store_quad(v_at, v);
        }
      }
    });
    block.for_each(block.rank == 0 ? 1 : 0, [&](uint32_t) { *frame.steps() = steps; });
  }

  LORAKEET_DEVICE void report(uint32_t user, float loss, float grad_norm, uint32_t flags) const {
    block.for_each(block.rank == 0 ? 1 : 0, [&](uint32_t) {
      batch.loss[user] = loss;
      batch.grad_norm[user] = grad_norm;
      batch.flags[user] = flags;
    });
  }
};

// User `index`; `following` is the one that this cluster works on next, or beyond the last.
template <bool kResident, class State>
LORAKEET_DEVICE void update_user(const Block& block, const UpdateBatch& batch, uint32_t index, uint32_t following,
                                 float* scratch) {
  const Model& model = batch.model;
  const uint32_t first = batch.row_offsets[index] - batch.first_row;
  const uint32_t rows = batch.row_offsets[index + 1] - batch.row_offsets[index];
  UserUpdate<kResident, State> user(block, batch, index, scratch);

  user.coefficient = quotient(2, static_cast<float>(model.out_features) * rows);
  if (batch.coefficient && batch.coefficient[first] < 0) {
    user.report(index, 0, 0, LORAKEET_FLAG_NO_WEIGHT);
    return;
  }
  const FrameLayout& layout = batch.layout;
  user.fetch(user.frame.fisher(), layout.counts - layout.fisher);
  const float ewc_lambda = batch.ewc_lambda ? batch.ewc_lambda[index] : batch.default_ewc_lambda;

  float loss_part = 0, squares = 0;  // this block's
  for (uint32_t done = 0; done < rows; done += kChunk) {
    const uint32_t start = first + done, count = smaller(rows - done, kChunk);
    user.load(start, count, done == 0);
    if (done + kChunk >= rows && following < batch.users) {
      user.fetch(batch.frames[following], layout.fisher);
      const uint32_t next_first = batch.row_offsets[following] - batch.first_row;
      user.fetch(batch.x[next_first], model.in_pitch() * sizeof(float));
      user.fetch(batch.target[next_first], model.out_pitch() * sizeof(float));
    }
    user.multiply(
        user.hidden, count, user.in.count, [&](uint32_t i) { return user.x_row(start, i); },
        [&](uint32_t k) { return user.weights.row(true, k); });
    loss_part += user.error_phase(start, count);
    user.multiply(
        user.backward, count, user.out.count, [&](uint32_t i) { return user.error + i * user.error_pitch; },
        [&](uint32_t k) { return user.weights.row(false, k); });
    squares = user.gradient_phase(start, count, done == 0);
  }
  if (model.ewc == LORAKEET_EWC_GRADIENT) squares = user.pull_phase(ewc_lambda);
  const float loss = static_cast<float>(block.cluster_sum(loss_part));
  const float norm = square_root(static_cast<float>(block.cluster_sum(squares)));

  Step step = {batch.learning_rate ? batch.learning_rate[index] : batch.default_learning_rate, ewc_lambda, 1, 1, 1};
  const float bound = batch.max_grad_norm ? batch.max_grad_norm[index] : batch.default_max_grad_norm;
  const bool clipped = norm > bound;
  if (clipped) step.clip = quotient(bound, norm);
  const uint32_t steps = *user.frame.steps() == UINT32_MAX ? UINT32_MAX : *user.frame.steps() + 1;
  if (model.adamw) {
    step.unbias1 = quotient(-1, expm1f(steps * model.log_beta1));
    step.unbias2 = quotient(-1, expm1f(steps * model.log_beta2));
  }

  const bool bad = block.cluster_sum(user.step_phase(step)) > 0;
  const bool rejected = !finite(loss) || !finite(norm) || bad;
  if (!rejected) user.commit(step, steps);
  user.report(index, loss, norm, rejected ? LORAKEET_FLAG_REJECTED : clipped ? LORAKEET_FLAG_CLIPPED : 0);
}

}  // namespace lorakeet::cuda
