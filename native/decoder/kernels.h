// What each instruction set provides beside matrix products: passes over single rows of numbers. The units that
// implement it show nothing else. Every result depends on the row alone.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace lorakeet {

// AdamW and the pull of EWC as lorakeet_adapter_step has them, of one block of parameters.
struct AdamwStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float gradient_scale;                      // of clipping
  float bias_correction1, bias_correction2;  // 1 − βᵗ
  float pull;                                // ηλ; 0: fisher and anchor are not looked at
};

// The vectors of an adapter, from the first parameter of a block on.
struct AdamwVectors {
  float *parameters, *gradient, *moment1, *moment2;
  const float *fisher, *anchor;
};

struct DecoderKernels {
  // y = x / √(mean(x²) + epsilon) · weight
  void (*normalize)(const float* x, const float* weight, float epsilon, size_t n, float* y);
  // dx += the gradient of normalize() with respect to x, of dy.  `add` false: dx = that. dx may be dy.
  void (*normalize_back)(const float* x, const float* weight, float epsilon, const float* dy, size_t n, float* dx,
                         bool add);

  // Turns every pair (x[i], x[i + half]) by the angle of this cosine and sine.
  void (*rotate)(float* x, const float* cosines, const float* sines, size_t half);
  // The other way.
  void (*rotate_back)(float* x, const float* cosines, const float* sines, size_t half);

  // y = silu(gate) · up, silu(x) = x / (1 + exp(−x))
  void (*swiglu)(const float* gate, const float* up, size_t n, float* y);
  // Of dy, in place: d_gate holds dy before.
  void (*swiglu_back)(const float* gate, const float* up, size_t n, float* d_gate, float* d_up);

  // y += x
  void (*add)(const float* x, size_t n, float* y);

  // x = softmax(scale · x); the logarithm of Σ exp(scale · x)
  float (*soften)(float* x, float scale, size_t n);
  // x = exp(scale · x − log_sum): what soften() gave, again
  void (*soften_again)(float* x, float scale, float log_sum, size_t n);
  // d = scale · p · (d − Σ p · d): the gradient of soften() with respect to its x
  void (*soften_back)(const float* p, float scale, size_t n, float* d);

  // Of a long row: log Σ exp(x)
  float (*log_sum)(const float* x, size_t n);
  // x = scale · exp(x − log_sum)
  void (*scaled_softmax)(float* x, float log_sum, float scale, size_t n);
  // The first index at which the running sum of exp(x − log_sum) exceeds `share` of the whole, 0 ≤ share < 1.
  size_t (*draw)(const float* x, float log_sum, double share, size_t n);

  // y = scale · matrix · x, or y += that, with matrix [rows × columns]
  void (*multiply_vector)(const float* matrix, size_t rows, size_t columns, const float* x, float scale, bool add,
                          float* y);
  // One query against `count` keys and values that lie one behind another, each of `dim` numbers.
  void (*attend)(const float* query, const float* keys, const float* values, size_t count, size_t dim, float scale,
                 float* scores /* [count], working memory */, float* out);

  // y = x with the entries dropped whose random 32 bits, mixed(key + i · 0x9e3779b9), are below `threshold`, the others
  // times `scale`; or y += that.
  void (*drop)(const float* x, size_t n, uint32_t key, uint32_t threshold, float scale, bool add, float* y);

  double (*sum_of_squares)(const float* x, size_t n);
  void (*adamw)(const AdamwVectors& vectors, size_t n, const AdamwStep& step);
  // fisher += weight · gradient²
  void (*add_squares)(const float* gradient, float weight, size_t n, float* fisher);
};

const DecoderKernels& baseline_decoder();
const DecoderKernels& avx2_decoder();
const DecoderKernels& avx512_decoder();
const DecoderKernels& neon_decoder();

}  // namespace lorakeet
