// The dense operations: blocks and order are dealt with here, arithmetic in the unit of an instruction set.

#include <string.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <numeric>
#include <vector>

#include "../cpu/crew.h"
#include "entries.h"
#include "isa.h"
#include "lorakeet/cpu.h"

using namespace lorakeet;

namespace {

lorakeet_matrix transposed(const lorakeet_matrix& m) {
  return {m.floats, m.doubles, m.columns, m.rows, m.column_stride, m.row_stride};
}

// Allocation is the only thing that can fail.
template <typename Body>
int guarded(Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

template <const DenseKernels& (*Isa)()>
int multiply(const lorakeet_matrix* x, const lorakeet_matrix* y, double* out, uint32_t threads) {
  return guarded([&] {
    std::fill(out, out + x->rows * y->columns, 0.0);
    // The longer side of the result is the one that is cut into blocks.
    const bool turned = x->rows > y->columns;
    const lorakeet_matrix left = turned ? transposed(*y) : *x;
    const lorakeet_matrix right = turned ? transposed(*x) : *y;
    const size_t row_stride = turned ? 1 : y->columns, column_stride = turned ? y->columns : 1;
    const size_t blocks = (right.columns + kDenseBlock - 1) / kDenseBlock;
    const double work =
        static_cast<double>(x->rows) * static_cast<double>(x->columns) * static_cast<double>(y->columns);
    const uint32_t workers = workers_for(work, blocks, threads);
    std::vector<double> scratch(workers * kDenseScratch);
    std::atomic<size_t> next{0};
    run_crew(workers, [&](uint32_t worker) {
      for (size_t block; (block = next.fetch_add(1)) < blocks;) {
        const size_t first = block * kDenseBlock;
        Isa().multiply_block(left, right, first, std::min(first + kDenseBlock, right.columns), out, row_stride,
                             column_stride, scratch.data() + worker * kDenseScratch);
      }
    });
  });
}

template <const DenseKernels& (*Isa)()>
int symmetric_eigen(size_t n, double* matrix, double* values) {
  return guarded([&] {
    std::vector<double> scratch(4 * n + n * n), unordered(n);
    std::vector<size_t> order(n);
    // at a largest entry of 1, no square on the way leaves the range of double
    double size = 0;
    for (size_t i = 0; i < n * n; i++) size = std::max(size, std::fabs(matrix[i]));
    if (size > 0) std::for_each(matrix, matrix + n * n, [size](double& entry) { entry /= size; });
    Isa().eigen(n, matrix, unordered.data(), scratch.data());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return unordered[i] > unordered[j]; });
    std::copy(matrix, matrix + n * n, scratch.begin());
    for (size_t i = 0; i < n; i++) {
      values[i] = unordered[order[i]] * size;
      std::copy_n(scratch.begin() + static_cast<std::ptrdiff_t>(order[i] * n), n, matrix + i * n);
    }
  });
}

template <const DenseKernels& (*Isa)()>
int magnitude_at(size_t rows, size_t columns, const lorakeet_summand* product, uint64_t count, float found[2],
                 uint32_t threads) {
  return guarded([&] { find_magnitude(Isa(), rows, columns, *product, count, found, threads); });
}

template <const DenseKernels& (*Isa)()>
int merge_entries(size_t rows, size_t columns, const lorakeet_summand* summands, size_t count,
                  lorakeet_election election, double lambda, float* merged, uint32_t threads) {
  return guarded([&] { merge_all_entries(Isa(), rows, columns, summands, count, election, lambda, merged, threads); });
}

template <const DenseKernels& (*Isa)()>
const lorakeet_dense* table(const char* device) {
  static const lorakeet_dense kernels = {device, multiply<Isa>, symmetric_eigen<Isa>, magnitude_at<Isa>,
                                         merge_entries<Isa>};
  return &kernels;
}

}  // namespace

extern "C" const lorakeet_dense* lorakeet_dense_kernels(const char* device) {
  // What the processor runs is decided in one place, that of the adapter kernels.
  for (uint32_t i = 0; const lorakeet_kernels* known = lorakeet_cpu_kernels(i); i++) {
    if (strcmp(known->device, device) != 0) continue;
#if defined(__x86_64__) || defined(_M_X64)
    if (strcmp(device, "avx512") == 0) return table<avx512_dense>("avx512");
    if (strcmp(device, "avx2") == 0) return table<avx2_dense>("avx2");
#elif defined(__aarch64__)
    if (strcmp(device, "neon") == 0) return table<neon_dense>("neon");
#endif
    return table<baseline_dense>("baseline");
  }
  return nullptr;
}
