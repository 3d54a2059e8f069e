// Matrix products of the language-model decoder: rows of activations times the weights of a model as they lie in its
// file, and products of floats for attention and for the factors of adapters.
//
// What holds for all of them: sums are taken in fp32 in an order that depends only on their length, so that neither the
// number of threads nor other columns change a bit of a result. Nor do other rows, as long as there are more than
// kFewRows of them or not more: few rows take another order of summation.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>

#include "weights.h"

namespace lorakeet {

// Up to so many rows, a weight is read once, in order, and never unpacked: the speed is that of memory.
constexpr size_t kFewRows = 8;

// What the factors of a product are rounded to; sums are fp32 in either case.
enum class Arithmetic : uint32_t {
  kF32,   // not at all: bf16, f16 and int8 are exact in fp32
  kBf16,  // to bf16, nearest even, where the processor multiplies bf16 faster, and never for few rows; else as kF32
};

// One of several products of the same rows: y[rows × weight.out] = x·weightᵀ.
struct Projection {
  Weight weight;
  float* y;
  size_t y_stride;  // floats from one row to the next
};

// Entry (i, j) is data[i·row_stride + j·column_stride]: a transpose is the same with the strides exchanged. Where
// neither stride is 1, products are slow.
struct MatrixView {
  const float* data;
  size_t row_stride, column_stride;
};

class ProductEngine;

// Products on up to `threads` threads, with all the memory that they need. One product at a time, but for
// multiply_small. No operand overlaps a result.
class Products {
 public:
  // `device`: as in lorakeet_cpu_kernels, and one that this processor can run. Throws std::bad_alloc and
  // std::invalid_argument; nothing throws afterwards.
  Products(const char* device, uint32_t threads);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // What those for so many threads take.
  static size_t bytes(uint32_t threads);

  uint32_t threads() const;
  // Whether Arithmetic::kBf16 is anything else than kF32 here.
  bool has_bf16() const;

  // y = x·Wᵀ, or y += x·Wᵀ, for each of `count` weights with the same `in`. Several at once spare waking the threads
  // and packing x several times.
  void project(const float* x, size_t x_stride, size_t rows, const Projection* projections, size_t count,
               bool accumulate, Arithmetic arithmetic);

  // y[rows × weight.in] = x[rows × weight.out]·W, or y += x·W: the gradient of project() with respect to its rows.
  void project_back(const float* x, size_t x_stride, size_t rows, const Weight& weight, float* y, size_t y_stride,
                    bool accumulate, Arithmetic arithmetic);

  // c[m × n] = alpha·a[m × k]·b[k × n] + beta·c, on all threads; c is not read where beta is 0.
  void multiply(size_t m, size_t n, size_t k, float alpha, const MatrixView& a, const MatrixView& b, float beta,
                float* c, size_t c_stride);

  // The same on the calling thread alone, with the working memory of `worker` < threads(): for the tasks of run_crew.
  // Bit for bit what multiply() gives.
  void multiply_small(uint32_t worker, size_t m, size_t n, size_t k, float alpha, const MatrixView& a,
                      const MatrixView& b, float beta, float* c, size_t c_stride);

 private:
  void project_few(const float* x, size_t x_stride, size_t rows, const Projection* projections, size_t count,
                   bool accumulate);

  std::unique_ptr<ProductEngine> engine_;
};

}  // namespace lorakeet
