// Times the decoder's matrix products against OpenBLAS's, in turn, and prints seconds per product as JSON:
//
//   lorakeet_products_time ISA THREADS ROWS OUT IN MEGABYTES
//
// The weights of a model do not fit the caches: every call takes the next of as many copies as make MEGABYTES of
// floats. One thread is timed by its CPU time, several by the clock on the wall. What is timed has been compared with
// OpenBLAS before; without OpenBLAS there is nothing to compare with, and the program is not built.

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <exception>
#include <string>
#include <vector>

#include "../../native/decoder/products.h"
#include "bf16.h"
#include "crew.h"
#include "streams.h"
#include "timing.h"

using namespace lorakeet;

namespace {

constexpr double kSampleSeconds = 5e-3;
constexpr int kSamples = 11;
volatile float sink;

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Problem {
  uint32_t threads;
  size_t rows, out, in;
  size_t floats;  // of all copies
};

// Copies of a weight in each of the formats, one after the other.
struct Copies {
  explicit Copies(const Problem& p)
      : size(p.out * p.in), count(std::max<size_t>(1, p.floats / size)), floats(count * size), bf16(count * size) {
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
      state = state * 1664525u + 1013904223u;
      bf16[i] = nearest(static_cast<float>(static_cast<int32_t>(state)) * 0x1p-36f);
      floats[i] = to_float(bf16[i]);  // so that all formats stand for the same numbers
    }
    for (size_t i = size; i < count * size; i++) floats[i] = floats[i % size], bf16[i] = bf16[i % size];
  }
  const float* next_floats() { return floats.data() + size * (at_ = (at_ + 1) % count); }
  const Bf16* next_bf16() { return bf16.data() + size * (at_ = (at_ + 1) % count); }

  size_t size, count;
  std::vector<float> floats;
  std::vector<Bf16> bf16;

 private:
  size_t at_ = 0;
};

const Streams& streams_of(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512") return *avx512_streams();
  if (isa == "avx2") return *avx2_streams();
#elif defined(__aarch64__)
  if (isa == "neon") return *neon_streams();
#endif
  return *baseline_streams();
}

void sgemm(const Problem& p, bool back, const float* x, const float* w, float* y) {
  const int rows = static_cast<int>(p.rows), out = static_cast<int>(p.out), in = static_cast<int>(p.in);
  if (rows == 1) {
    cblas_sgemv(CblasRowMajor, back ? CblasTrans : CblasNoTrans, out, in, 1, w, in, x, 1, 0, y, 1);
  } else if (back) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1, x, out, w, in, 0, y, in);
  } else {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, x, in, w, in, 0, y, out);
  }
}

void require_close(const char* what, const std::vector<float>& y, const std::vector<float>& expected, double limit) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < y.size(); i++) {
    worst = fmax(worst, fabs(static_cast<double>(y[i]) - static_cast<double>(expected[i])));
    largest = fmax(largest, fabs(static_cast<double>(expected[i])));
  }
  if (worst <= limit * largest) return;
  fprintf(stderr, "%s is off by %.3g of %.3g: nothing is timed\n", what, worst, largest);
  exit(1);
}

void time_products(const char* isa, const Problem& p) {
  Products products(isa, p.threads);
  openblas_set_num_threads(static_cast<int>(p.threads));
  Copies copies(p);
  std::vector<float> x(p.rows * std::max(p.in, p.out)), y(p.rows * std::max(p.in, p.out));
  for (size_t i = 0; i < x.size(); i++) x[i] = sinf(static_cast<float>(i));

  struct Body {
    const char* name;
    bool back;
    double limit;  // of the difference to OpenBLAS
    std::function<void()> run;
  };
  const auto ours = [&](bool back, Arithmetic arithmetic, WeightType type, const void* data) {
    const Weight weight = {type, data, nullptr, p.out, p.in};
    if (back) return products.project_back(x.data(), p.out, p.rows, weight, y.data(), p.in, false, arithmetic);
    const Projection projection = {weight, y.data(), p.out};
    products.project(x.data(), p.in, p.rows, &projection, 1, false, arithmetic);
  };
  std::vector<Body> bodies;
  for (bool back : {false, true}) {
    const auto add = [&](const char* name, double limit, std::function<void()> run) {
      bodies.push_back({name, back, limit, std::move(run)});
    };
    add("openblas", 0, [&, back] { sgemm(p, back, x.data(), copies.next_floats(), y.data()); });
    add("f32", 1e-5, [&, back] { ours(back, Arithmetic::kF32, WeightType::kF32, copies.next_floats()); });
    add("bf16", 1e-5, [&, back] { ours(back, Arithmetic::kF32, WeightType::kBf16, copies.next_bf16()); });
    if (products.has_bf16()) {
      add("bf16-arithmetic", 2e-2, [&, back] { ours(back, Arithmetic::kBf16, WeightType::kBf16, copies.next_bf16()); });
    }
  }
  std::vector<float> expected;
  for (const Body& body : bodies) {
    std::fill(y.begin(), y.end(), 0.0f);
    body.run();
    if (body.limit == 0) expected = y;
    require_close(body.name, y, expected, body.limit);
  }

  const Streams& streams = streams_of(isa);
  const size_t share = p.floats / p.threads / 128 * 128;
  std::vector<std::function<void()>> runs = {[&] {
    run_crew(p.threads, [&](uint32_t worker) { sink = streams.read(copies.floats.data() + worker * share, share); });
  }};
  copies.floats.resize(std::max(copies.floats.size(), p.floats));
  for (const Body& body : bodies) runs.push_back(body.run);
  const auto seconds =
      median_seconds_in_turn(kSampleSeconds, kSamples, runs, p.threads == 1 ? thread_seconds : wall_seconds);
  printf("{\"openblas\":\"%s\",\"read_gbps\":%.3f,\"seconds\":{", openblas_get_corename(),
         1e-9 * static_cast<double>(p.threads * share * sizeof(float)) / seconds[0]);
  for (size_t i = 0; i < bodies.size(); i++) {
    printf("%s\"%s%s\":%.4g", i ? "," : "", bodies[i].name, bodies[i].back ? "-back" : "", seconds[i + 1]);
  }
  printf("}}\n");
}

}  // namespace

int main(int argc, char** argv) try {
  const auto number = [&](int i) { return i < argc ? static_cast<size_t>(strtoull(argv[i], nullptr, 10)) : 0; };
  const Problem problem = {static_cast<uint32_t>(number(2)), number(3), number(4), number(5), number(6) << 18};
  if (argc != 7 || problem.threads == 0 || problem.rows == 0 || problem.out == 0 || problem.in == 0 ||
      problem.floats == 0) {
    fprintf(stderr, "usage: lorakeet_products_time ISA THREADS ROWS OUT IN MEGABYTES\n");
    return 2;
  }
  time_products(argv[1], problem);
  return 0;
} catch (const std::exception& error) {
  fprintf(stderr, "%s\n", error.what());
  return 1;
}
