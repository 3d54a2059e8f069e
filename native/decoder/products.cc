// The decoder's products: cut into blocks here, and spread over threads; arithmetic is in the unit of an instruction
// set.
//
// c = a·b is computed block of sums by block of sums. Of each block, the rows of a are brought into steps first (small,
// and read by every thread); then panels of columns of b, each unpacked by the thread that takes it, meet all these
// rows.

#include "products.h"

#include <string.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "../cpu/crew.h"
#include "../cpu/memory.h"
#include "lorakeet/cpu.h"
#include "product_kernels.h"

namespace lorakeet {
namespace {

const ProductKernels* kernels_of(const char* device) {
  // What the processor runs is decided in one place, that of the adapter kernels.
  for (uint32_t i = 0; const lorakeet_kernels* known = lorakeet_cpu_kernels(i); i++) {
    if (strcmp(known->device, device) != 0) continue;
#if defined(__x86_64__) || defined(_M_X64)
    if (strcmp(device, "avx512") == 0) return &avx512_products();
    if (strcmp(device, "avx2") == 0) return &avx2_products();
#elif defined(__aarch64__)
    if (strcmp(device, "neon") == 0) return &neon_products();
#endif
    return &baseline_products();
  }
  throw std::invalid_argument(std::string("unknown device ") + device);
}

const BlockKernels* bf16_kernels_of(const char* device) {
#if defined(__x86_64__) || defined(_M_X64)
  if (strcmp(device, "avx512") == 0 && __builtin_cpu_supports("avx512bf16")) return &avx512bf16_products();
#endif
  (void)device;
  return nullptr;
}

// Rows that meet a panel while it is in the cache, at most.
constexpr size_t kMostRows = 512, kMostRowsAlone = 128;
// Floats of working memory: for rows in steps, of all threads and of a worker alone, and for the panel of a worker.
constexpr size_t kSharedFloats = size_t{1} << 20, kFloatsAlone = size_t{1} << 16;
constexpr size_t kPanelFloats = kBlockSteps * kMostColumns;

size_t divided_up(size_t a, size_t b) { return (a + b - 1) / b; }

// Threads worth waking: each should have about 10 µs of work at some 100 multiply-adds per ns.
uint32_t worthwhile(double multiply_adds, uint32_t threads) {
  return static_cast<uint32_t>(std::max(1.0, std::min<double>(multiply_adds / 1e6 + 1, threads)));
}

// Runs task(worker, i) for every i < count.
template <typename Task>
void spread(uint32_t workers, size_t count, const Task& task) {
  if (workers < 2 || count < 2) {
    for (size_t i = 0; i < count; i++) task(0, i);
    return;
  }
  alignas(64) std::atomic<size_t> next{0};
  run_crew(workers, [&](uint32_t worker) {
    for (size_t i; (i = next.fetch_add(1)) < count;) task(worker, i);
  });
}

// c [rows × columns] = alpha·left·right·diag(column_scale) + beta·c, as one of several with the same left factor.
struct Result {
  RightFactor right;
  size_t columns;
  const float* column_scale;
  float* out;
  size_t stride;
};

struct Job {
  LeftFactor left;
  size_t rows, depth;
  const Result* results;
  size_t count;
  float alpha, beta;
};

struct WorkingMemory {
  float* rows;  // in steps
  size_t row_floats, most_rows;
  float* panels;  // of worker 0; those of the others follow
};

// How a sum is cut into blocks: by its length alone, so that results depend on nothing else.
struct Blocks {
  Blocks(size_t depth, size_t depth_per_step) : depth(depth) {
    const size_t steps = divided_up(depth, depth_per_step);
    count = std::max<size_t>(1, divided_up(steps, kBlockSteps));
    block_depth = divided_up(steps, count) * depth_per_step;
    // no multiple of the distance at which addresses fall into the same cache set
    stride = (divided_up(divided_up(steps, count), kAlignedFloats) | 1) * kAlignedFloats;
  }
  size_t first(size_t block) const { return std::min(depth, block * block_depth); }
  size_t length(size_t block) const { return first(block + 1) - first(block); }

  size_t depth, count, block_depth;
  size_t stride;  // floats of a row in steps
};

void run(const BlockKernels& kernels, const WorkingMemory& memory, uint32_t workers, const Job& job) {
  const Blocks blocks(job.depth, kernels.depth_per_step);
  size_t panels = 0;
  for (size_t i = 0; i < job.count; i++) panels += divided_up(job.results[i].columns, kernels.panel_columns);
  const size_t row_chunks = divided_up(job.rows, memory.most_rows);
  for (size_t chunk = 0; chunk < row_chunks; chunk++) {
    const size_t row = chunk * job.rows / row_chunks, rows = (chunk + 1) * job.rows / row_chunks - row;
    const size_t group = std::min(blocks.count, memory.row_floats / (rows * blocks.stride));
    for (size_t block = 0; block < blocks.count; block += group) {
      const size_t end = std::min(blocks.count, block + group);
      const auto packed = [&](size_t b) { return memory.rows + (b - block) * rows * blocks.stride; };

      // some rows of one block each
      constexpr size_t kRowsAtOnce = 16;
      const size_t pieces = divided_up(rows, kRowsAtOnce);
      const uint32_t packers = rows * (blocks.first(end) - blocks.first(block)) < 100000 ? 1 : workers;
      spread(packers, pieces * (end - block), [&](uint32_t, size_t i) {
        const size_t b = block + i / pieces, first_row = i % pieces * kRowsAtOnce;
        kernels.pack_left(job.left, row + first_row, std::min(kRowsAtOnce, rows - first_row), blocks.first(b),
                          blocks.length(b), packed(b) + first_row * blocks.stride, blocks.stride);
      });

      // one panel of columns each; of few panels, some of the rows
      const size_t parts = std::min(divided_up(rows, kRowsAtOnce), divided_up(2 * workers, panels));
      spread(workers, panels * parts, [&](uint32_t worker, size_t i) {
        const size_t part = i % parts, first_row = part * rows / parts;
        size_t panel = i / parts;
        const Result* result = job.results;
        for (size_t n; panel >= (n = divided_up(result->columns, kernels.panel_columns)); result++) panel -= n;
        Piece piece;
        piece.left_stride = blocks.stride;
        piece.rows = (part + 1) * rows / parts - first_row;
        piece.right = result->right;
        piece.first_column = panel * kernels.panel_columns;
        piece.columns = std::min(kernels.panel_columns, result->columns - piece.first_column);
        piece.alpha = job.alpha;
        piece.column_scale = result->column_scale ? result->column_scale + piece.first_column : nullptr;
        piece.out = result->out + (row + first_row) * result->stride + piece.first_column;
        piece.out_stride = result->stride;
        piece.panel = memory.panels + worker * kPanelFloats;
        for (size_t b = block; b < end; b++) {
          piece.left = packed(b) + first_row * blocks.stride;
          piece.first = blocks.first(b);
          piece.depth = blocks.length(b);
          piece.beta = b == 0 ? job.beta : 1;
          kernels.multiply(piece);
        }
      });
    }
  }
}

double work_of(const Job& job) {
  double columns = 0;
  for (size_t i = 0; i < job.count; i++) columns += static_cast<double>(job.results[i].columns);
  return static_cast<double>(job.rows) * static_cast<double>(job.depth) * columns;
}

size_t bytes_of(WeightType type) { return type == WeightType::kInt8 ? 1 : type == WeightType::kF32 ? 4 : 2; }

}  // namespace

class ProductEngine {
 public:
  ProductEngine(const char* device, uint32_t threads)
      : threads(threads), kernels(*kernels_of(device)), bf16(bf16_kernels_of(device)) {
    if (threads < 1) throw std::invalid_argument("no threads");
    memory_ = LazyBlock(Products::bytes(threads));
    memory_.use(Products::bytes(threads));
  }

  WorkingMemory shared() const {
    return {memory_.floats(), kSharedFloats, kMostRows, memory_.floats() + kSharedFloats};
  }
  WorkingMemory alone(uint32_t worker) const {
    float* const panels = memory_.floats() + kSharedFloats;
    return {panels + threads * kPanelFloats + worker * kFloatsAlone, kFloatsAlone, kMostRowsAlone,
            panels + worker * kPanelFloats};
  }
  const BlockKernels& blocks(Arithmetic arithmetic) const {
    return arithmetic == Arithmetic::kBf16 && bf16 ? *bf16 : kernels.blocks;
  }
  void run_on_all(Arithmetic arithmetic, const Job& job) const {
    if (job.rows > 0) run(blocks(arithmetic), shared(), worthwhile(work_of(job), threads), job);
  }

  uint32_t threads;
  const ProductKernels& kernels;
  const BlockKernels* bf16;

 private:
  LazyBlock memory_;
};

Products::Products(const char* device, uint32_t threads) : engine_(new ProductEngine(device, threads)) {}
Products::~Products() = default;

size_t Products::bytes(uint32_t threads) {
  return (kSharedFloats + threads * (kPanelFloats + kFloatsAlone)) * sizeof(float);
}

uint32_t Products::threads() const { return engine_->threads; }
bool Products::has_bf16() const { return engine_->bf16 != nullptr; }

void Products::project(const float* x, size_t x_stride, size_t rows, const Projection* projections, size_t count,
                       bool accumulate, Arithmetic arithmetic) {
  if (rows <= kFewRows) return project_few(x, x_stride, rows, projections, count, accumulate);
  constexpr size_t kMostResults = 8;
  for (size_t done = 0; done < count; done += kMostResults) {
    Result results[kMostResults];
    const size_t some = std::min(kMostResults, count - done);
    for (size_t i = 0; i < some; i++) {
      const Weight& w = projections[done + i].weight;
      results[i] = {
          {w.type, w.data, 1, w.in}, w.out, w.row_scale, projections[done + i].y, projections[done + i].y_stride};
    }
    engine_->run_on_all(
        arithmetic,
        {{{x, x_stride, 1}, nullptr}, rows, projections->weight.in, results, some, 1, accumulate ? 1.0f : 0.0f});
  }
}

void Products::project_few(const float* x, size_t x_stride, size_t rows, const Projection* projections, size_t count,
                           bool accumulate) {
  // rows of the weights that make about 64 KB
  const auto at_once = [](const Weight& w) {
    return divided_up(std::max<size_t>(1, 65536 / (bytes_of(w.type) * std::max<size_t>(1, w.in))), 4) * 4;
  };
  size_t pieces = 0;
  for (size_t i = 0; i < count; i++) pieces += divided_up(projections[i].weight.out, at_once(projections[i].weight));
  const uint32_t workers = static_cast<uint32_t>(std::min<size_t>(engine_->threads, pieces));
  spread(workers, rows > 0 ? pieces : 0, [&](uint32_t, size_t piece) {
    const Projection* p = projections;
    for (size_t n; piece >= (n = divided_up(p->weight.out, at_once(p->weight))); p++) piece -= n;
    const size_t first = piece * at_once(p->weight);
    engine_->kernels.project_few({x, x_stride, rows, p->weight, p->y, p->y_stride, accumulate}, first,
                                 std::min(p->weight.out, first + at_once(p->weight)));
  });
}

void Products::project_back(const float* x, size_t x_stride, size_t rows, const Weight& weight, float* y,
                            size_t y_stride, bool accumulate, Arithmetic arithmetic) {
  const Result result = {{weight.type, weight.data, weight.in, 1}, weight.in, nullptr, y, y_stride};
  // a row's scale is that of a term of the sums
  engine_->run_on_all(
      rows <= kFewRows ? Arithmetic::kF32 : arithmetic,
      {{{x, x_stride, 1}, weight.row_scale}, rows, weight.out, &result, 1, 1, accumulate ? 1.0f : 0.0f});
}

void Products::multiply(size_t m, size_t n, size_t k, float alpha, const MatrixView& a, const MatrixView& b, float beta,
                        float* c, size_t c_stride) {
  const Result result = {{WeightType::kF32, b.data, b.row_stride, b.column_stride}, n, nullptr, c, c_stride};
  engine_->run_on_all(Arithmetic::kF32, {{a, nullptr}, m, k, &result, 1, alpha, beta});
}

void Products::multiply_small(uint32_t worker, size_t m, size_t n, size_t k, float alpha, const MatrixView& a,
                              const MatrixView& b, float beta, float* c, size_t c_stride) {
  const Result result = {{WeightType::kF32, b.data, b.row_stride, b.column_stride}, n, nullptr, c, c_stride};
  if (m > 0) run(engine_->kernels.blocks, engine_->alone(worker), 1, {{a, nullptr}, m, k, &result, 1, alpha, beta});
}

}  // namespace lorakeet
