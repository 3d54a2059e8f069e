// Kernels whose items are rows: embedding, RMSNorm, RoPE, biases, dropout, and rows that go elsewhere.
#pragma once

#include "../../decoder/random.h"
#include "../block.h"
#include "weight_numbers.h"

namespace lorakeet::cuda::decoder {

// y [rows × in] = the rows of the table that `tokens` names
struct EmbedRows {
  WeightNumbers table;
  const uint32_t* tokens;
  float* y;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const uint32_t in = static_cast<uint32_t>(table.in);
    const size_t token = tokens[row];
    float* const to = y + size_t{row} * in;
    block.for_each(in, [&](uint32_t i) { to[i] = table.number(token, i); });
  }
};

// 1 / √(mean(x²) + epsilon)
LORAKEET_DEVICE float inverse_rms(const Block& block, const float* x, uint32_t n, float epsilon) {
  const double squares =
      block.sum(n, [&](uint32_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
  return 1.0f / sqrtf(static_cast<float>(squares / n) + epsilon);
}

// y [items × n] = x / √(mean(x²) + epsilon) · weight. Row i of y is of row gather[i] of x, if there is a `gather`.
struct NormalizeRows {
  const float *x, *weight;
  float epsilon;
  uint32_t n;
  float* y;
  const uint32_t* gather;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const float* const from = x + size_t{gather ? gather[row] : row} * n;
    float* const to = y + size_t{row} * n;
    const float inverse = inverse_rms(block, from, n, epsilon);
    block.for_each(n, [&](uint32_t i) { to[i] = from[i] * inverse * weight[i]; });
  }
};

// dx = the gradient of NormalizeRows with respect to x, or dx += that; `gather` as there, for x and dx. dx may be dy.
// With r = 1 / rms: dx = r·w·dy − x · r³/n · Σ w·dy·x
struct NormalizeBackRows {
  const float *x, *weight;
  float epsilon;
  uint32_t n;
  const float* dy;
  float* dx;
  const uint32_t* gather;
  uint32_t add;  // 0 or 1

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const size_t at = size_t{gather ? gather[row] : row} * n;
    const float *const from = x + at, *const d = dy + size_t{row} * n;
    float* const to = dx + at;
    const float r = inverse_rms(block, from, n, epsilon);
    const double products =
        block.sum(n, [&](uint32_t i) { return static_cast<double>(weight[i] * d[i]) * static_cast<double>(from[i]); });
    const float along = static_cast<float>(products / n) * r * r * r;
    block.for_each(n, [&](uint32_t i) {
      const float gradient = r * (weight[i] * d[i]) - along * from[i];
      to[i] = add ? to[i] + gradient : gradient;
    });
  }
};

// On a GPU through half turns: the general functions keep a table for huge angles on their stack.
LORAKEET_DEVICE void turn_by(double angle, double* cosine, double* sine) {
#if defined(__CUDA_ARCH__)
  sincospi(angle * 0.31830988618379067154, sine, cosine);
#else
  *cosine = cos(angle);
  *sine = sin(angle);
#endif
}

// Cosines and sines of the angles of RoPE, [positions × half]; items are positions.
struct FillAngles {
  const double* inverse_frequencies;  // [half]
  uint32_t half;
  float *cosines, *sines;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t position) const {
    block.for_each(half, [&](uint32_t i) {
      double cosine, sine;
      turn_by(static_cast<double>(position) * inverse_frequencies[i], &cosine, &sine);
      cosines[size_t{position} * half + i] = static_cast<float>(cosine);
      sines[size_t{position} * half + i] = static_cast<float>(sine);
    });
  }
};

// Turns every pair (x[i], x[i + half]) of every head by the angle of the row's place, or back.
struct TurnHeads {
  const uint32_t* places;
  const float *cosines, *sines;
  uint32_t heads, half;
  uint32_t back;  // 0 or 1
  float* x;       // [rows × heads · 2 · half]

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const size_t angle = size_t{places[row]} * half, first = size_t{row} * heads * 2 * half;
    block.for_each(heads * half, [&](uint32_t i) {
      float* const pair = x + first + size_t{i / half} * 2 * half + i % half;
      const float c = cosines[angle + i % half], s = back ? -sines[angle + i % half] : sines[angle + i % half];
      const float a = pair[0], b = pair[half];
      pair[0] = a * c - b * s;
      pair[half] = b * c + a * s;
    });
  }
};

// y += bias, row by row
struct AddBias {
  const float* bias;
  uint32_t n;
  float* y;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    float* const to = y + size_t{row} * n;
    block.for_each(n, [&](uint32_t i) { to[i] += bias[i]; });
  }
};

// y = x with the entries dropped whose random bits are below `threshold`, the others times `scale`; or y += that.
struct DropRows {
  const float* x;
  uint32_t n, key, threshold;
  float scale;
  uint32_t add;  // 0 or 1
  float* y;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const uint32_t row_key = dropout_row_key(key, row, n);
    const float* const from = x + size_t{row} * n;
    float* const to = y + size_t{row} * n;
    block.for_each(n, [&](uint32_t i) {
      const float kept = dropout_bits(row_key, i) < threshold ? 0.0f : from[i] * scale;
      to[i] = add ? to[i] + kept : kept;
    });
  }
};

// Row i of x becomes row scatter[i] of y.
struct ScatterRows {
  const float* x;
  const uint32_t* scatter;
  uint32_t n;
  float* y;

  uint32_t shared_floats() const { return 0; }
  LORAKEET_DEVICE void run(const Block& block, uint32_t row) const {
    const float* const from = x + size_t{row} * n;
    float* const to = y + size_t{scatter[row]} * n;
    block.for_each(n, [&](uint32_t i) { to[i] = from[i]; });
  }
};

}  // namespace lorakeet::cuda::decoder
