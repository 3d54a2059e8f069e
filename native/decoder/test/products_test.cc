// Compares the decoder's matrix products with sums in double, for every instruction set that this processor runs:
//
//   lorakeet_products_test [--quick]
//
// Prints a line for each instruction set and one for each kind of product that is off; exits with 1 if there was any.

#include "../products.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lorakeet/cpu.h"

using namespace lorakeet;

namespace {

// ---- numbers, made and converted here without the help of what is tested

class Random {
 public:
  // uniform in [−1, 1), with as many bits as a float has
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<double>(state_ >> 40) / 8388608.0 - 1.0);
  }

 private:
  uint64_t state_ = 1;
};

// `value` with a significand of `bits` bits, of two the even one
double rounded(double value, int bits) {
  int exponent;
  const double fraction = frexp(value, &exponent);
  return ldexp(nearbyint(ldexp(fraction, bits)), exponent - bits);
}

double to_bf16(double value) { return rounded(value, 8); }

uint16_t bf16_bits(double value) {
  const float exact = static_cast<float>(value);
  uint32_t bits;
  memcpy(&bits, &exact, sizeof(bits));
  return static_cast<uint16_t>(bits >> 16);
}

uint16_t f16_bits(double value) {
  if (value == 0) return 0;
  const uint16_t sign = value < 0 ? 0x8000 : 0;
  int exponent;
  const double fraction = frexp(fabs(value), &exponent);                                              // in [1/2, 1)
  if (exponent < -13) return static_cast<uint16_t>(sign | static_cast<int>(ldexp(fabs(value), 24)));  // subnormal
  return static_cast<uint16_t>(sign | ((exponent + 14) << 10) | (static_cast<int>(ldexp(fraction, 11)) & 0x3ff));
}

// A weight, as the products see it and as numbers that it stands for.
struct TestWeight {
  TestWeight(WeightType type, size_t out, size_t in, Random& random) : exact(out * in), scale(out) {
    for (float& s : scale) s = 0.01f + 0.1f * fabsf(random.next());
    const auto put = [&](size_t i, auto number) { memcpy(&bytes[i * sizeof(number)], &number, sizeof(number)); };
    bytes.resize(out * in * 4);
    for (size_t i = 0; i < exact.size(); i++) {
      const double value = random.next();
      switch (type) {
        case WeightType::kF32:
          exact[i] = value;
          put(i, static_cast<float>(value));
          break;
        case WeightType::kBf16:
          exact[i] = to_bf16(value);
          put(i, bf16_bits(exact[i]));
          break;
        case WeightType::kF16:
          // now and then a subnormal one
          exact[i] = i % 7 == 3 ? ldexp(floor(value * 1023), -24) : rounded(value, 11);
          if (fabs(exact[i]) < ldexp(1, -14)) exact[i] = ldexp(trunc(ldexp(exact[i], 24)), -24);
          put(i, f16_bits(exact[i]));
          break;
        case WeightType::kInt8:
          exact[i] = floor(value * 127.999);
          put(i, static_cast<int8_t>(exact[i]));
          break;
      }
    }
    weight = {type, bytes.data(), type == WeightType::kInt8 ? scale.data() : nullptr, out, in};
  }

  std::vector<double> exact;  // of kInt8: before it is scaled
  std::vector<float> scale;
  std::vector<char> bytes;
  Weight weight;
};

const char* name_of(WeightType type) {
  const char* names[] = {"f32", "bf16", "f16", "int8"};
  return names[static_cast<uint32_t>(type)];
}

// ---- comparison

int failures = 0;

// Rows of a result in a larger block, of which nothing else may change.
struct Result {
  Result(size_t rows, size_t columns, Random& random) : rows(rows), columns(columns), stride(columns + 3) {
    before.resize((rows + 2) * stride);
    for (float& f : before) f = random.next();
    values = before;
  }
  float* data() { return values.data() + stride; }
  bool is_inside(size_t i) const { return i / stride >= 1 && i / stride <= rows && i % stride < columns; }

  size_t rows, columns, stride;
  std::vector<float> before, values;
};

struct Expected {
  double value, size;  // size: the sum of the absolute values of what was added
};

// `expected(row, column)` is what was to be added up over `length` products. The budget is that of fp32 sums whose
// errors are about random: their size grows with the root of the length.
template <typename F>
void compare(const std::string& what, const Result& result, size_t length, const F& expected) {
  const double budget = (4 + 2 * sqrt(static_cast<double>(length))) * ldexp(1, -24);
  double worst = 0;
  size_t spoilt = 0;
  for (size_t i = 0; i < result.values.size(); i++) {
    if (!result.is_inside(i)) {
      spoilt += memcmp(&result.values[i], &result.before[i], sizeof(float)) != 0;
      continue;
    }
    const Expected e = expected(i / result.stride - 1, i % result.stride, static_cast<double>(result.before[i]));
    const double error = fabs(result.values[i] - e.value);
    worst = std::max(worst, std::isfinite(error) ? error / (e.size + 1e-30) : HUGE_VAL);
  }
  if (worst <= budget && spoilt == 0) return;
  failures++;
  printf("FAIL %s: error %.3g of a budget of %.3g, %zu numbers outside of the result changed\n", what.c_str(), worst,
         budget, spoilt);
}

void require_same(const std::string& what, const Result& a, const Result& b) {
  if (memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0) return;
  failures++;
  printf("FAIL %s: not bit for bit the same\n", what.c_str());
}

struct Rows {
  Rows(size_t rows, size_t columns, Random& random) : stride(columns + 5), values(rows * stride) {
    for (float& f : values) f = random.next();
  }
  double at(size_t row, size_t column) const { return static_cast<double>(values[row * stride + column]); }
  size_t stride;
  std::vector<float> values;
};

// ---- the products

struct Engines {
  explicit Engines(const char* device) : one(device, 1), several(device, 3) {}
  Products one, several;
};

void check_project(Engines& engines, const std::string& where, WeightType type, Arithmetic arithmetic, size_t rows,
                   size_t out, size_t in, bool accumulate) {
  Random random;
  const Rows x(rows, in, random);
  // two weights at once, the second with a few rows less
  const TestWeight first(type, out, in, random), second(type, (out + 1) / 2, in, random);
  Result y1(rows, out, random), y2(rows, second.weight.out, random);
  Result z1 = y1, z2 = y2;
  const auto run = [&](Products& products, Result& a, Result& b) {
    const Projection both[] = {{first.weight, a.data(), a.stride}, {second.weight, b.data(), b.stride}};
    products.project(x.values.data(), x.stride, rows, both, 2, accumulate, arithmetic);
  };
  run(engines.one, y1, y2);
  run(engines.several, z1, z2);
  const std::string what = where + " project " + name_of(type) + (arithmetic == Arithmetic::kBf16 ? " in bf16 " : " ") +
                           std::to_string(rows) + " rows, " + std::to_string(in) + " to " + std::to_string(out);
  require_same(what + " on three threads", y1, z1);
  require_same(what + " on three threads", y2, z2);
  const bool rounds = arithmetic == Arithmetic::kBf16 && engines.one.has_bf16() && rows > kFewRows;
  const auto expect = [&](const TestWeight& w) {
    return [&, rounds](size_t row, size_t column, double before) {
      Expected e = {accumulate ? before : 0, accumulate ? fabs(before) : 0};
      const double scale = type == WeightType::kInt8 ? static_cast<double>(w.scale[column]) : 1;
      for (size_t i = 0; i < in; i++) {
        const double a = x.at(row, i), b = w.exact[column * in + i];
        const double term = scale * (rounds ? to_bf16(a) * to_bf16(b) : a * b);
        e.value += term, e.size += fabs(term);
      }
      return e;
    };
  };
  compare(what, y1, in, expect(first));
  compare(what + ", second weight", y2, in, expect(second));
}

void check_project_back(Engines& engines, const std::string& where, WeightType type, Arithmetic arithmetic, size_t rows,
                        size_t out, size_t in, bool accumulate) {
  Random random;
  const Rows x(rows, out, random);
  const TestWeight w(type, out, in, random);
  Result y(rows, in, random);
  Result z = y;
  engines.one.project_back(x.values.data(), x.stride, rows, w.weight, y.data(), y.stride, accumulate, arithmetic);
  engines.several.project_back(x.values.data(), x.stride, rows, w.weight, z.data(), z.stride, accumulate, arithmetic);
  const std::string what = where + " project_back " + name_of(type) +
                           (arithmetic == Arithmetic::kBf16 ? " in bf16 " : " ") + std::to_string(rows) + " rows, " +
                           std::to_string(out) + " to " + std::to_string(in);
  require_same(what + " on three threads", y, z);
  const bool rounds = arithmetic == Arithmetic::kBf16 && engines.one.has_bf16() && rows > kFewRows;
  compare(what, y, out, [&](size_t row, size_t column, double before) {
    Expected e = {accumulate ? before : 0, accumulate ? fabs(before) : 0};
    for (size_t o = 0; o < out; o++) {
      // the scale of a row is that of a term here, and comes to what is rounded
      double a = x.at(row, o), b = w.exact[o * in + column];
      if (type == WeightType::kInt8) a = static_cast<double>(static_cast<float>(a) * w.scale[o]);
      const double term = rounds ? to_bf16(a) * to_bf16(b) : a * b;
      e.value += term, e.size += fabs(term);
    }
    return e;
  });
}

void check_multiply(Engines& engines, const std::string& where, size_t m, size_t n, size_t k, bool turn_a, bool turn_b,
                    float alpha, float beta) {
  Random random;
  const Rows a(turn_a ? k : m, turn_a ? m : k, random), b(turn_b ? n : k, turn_b ? k : n, random);
  const auto view = [](const Rows& rows, bool turn) {
    return turn ? MatrixView{rows.values.data(), 1, rows.stride} : MatrixView{rows.values.data(), rows.stride, 1};
  };
  Result c(m, n, random);
  if (beta == 0) std::fill(c.before.begin(), c.before.end(), NAN), c.values = c.before;  // must not be read
  Result d = c, s = c;
  engines.one.multiply(m, n, k, alpha, view(a, turn_a), view(b, turn_b), beta, c.data(), c.stride);
  engines.several.multiply(m, n, k, alpha, view(a, turn_a), view(b, turn_b), beta, d.data(), d.stride);
  engines.several.multiply_small(2, m, n, k, alpha, view(a, turn_a), view(b, turn_b), beta, s.data(), s.stride);
  const std::string what = where + " multiply " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                           std::to_string(k) + (turn_a ? ", a turned" : "") + (turn_b ? ", b turned" : "");
  require_same(what + " on three threads", c, d);
  require_same(what + " on one thread alone", c, s);
  compare(what, c, k, [&](size_t i, size_t j, double before) {
    Expected e = {beta == 0 ? 0 : static_cast<double>(beta) * before, 0};
    e.size = fabs(e.value);
    for (size_t l = 0; l < k; l++) {
      const double term =
          static_cast<double>(alpha) * (turn_a ? a.at(l, i) : a.at(i, l)) * (turn_b ? b.at(j, l) : b.at(l, j));
      e.value += term, e.size += fabs(term);
    }
    return e;
  });
}

// A row's result must not depend on the rows beside it, on either side of kFewRows.
void check_rows_apart(Engines& engines, const std::string& where, WeightType type, Arithmetic arithmetic) {
  Random random;
  const size_t out = 70, in = 301, most = 40;
  const Rows x(most, in, random);
  const TestWeight w(type, out, in, random);
  const auto run = [&](size_t first, size_t rows) {
    std::vector<float> y(rows * out);
    const Projection projection = {w.weight, y.data(), out};
    engines.one.project(x.values.data() + first * x.stride, x.stride, rows, &projection, 1, false, arithmetic);
    return y;
  };
  const auto require_part = [&](size_t whole_rows, size_t first, size_t rows) {
    const std::vector<float> whole = run(0, whole_rows), part = run(first, rows);
    if (memcmp(whole.data() + first * out, part.data(), part.size() * sizeof(float)) == 0) return;
    failures++;
    printf("FAIL %s %s: rows %zu to %zu depend on other rows\n", where.c_str(), name_of(type), first, first + rows);
  };
  for (size_t rows = 1; rows <= kFewRows; rows++) require_part(kFewRows, kFewRows - rows, rows);
  for (size_t rows : {kFewRows + 1, kFewRows + 4, kFewRows + 7}) require_part(most, 3, rows);
}

constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kBf16, WeightType::kF16, WeightType::kInt8};

struct Shape {
  size_t rows, out, in;
};

void check_device(const char* device, bool quick) {
  Engines engines(device);
  const std::string where = device;
  const int failures_before = failures;
  std::vector<Shape> shapes = {{1, 1, 1},   {1, 50, 33},  {3, 17, 64},  {8, 31, 95},  {9, 1, 5},
                               {9, 49, 31}, {13, 97, 66}, {24, 96, 96}, {25, 66, 543}};
  if (!quick) {
    for (const Shape& more : {Shape{1, 300, 1100}, Shape{5, 129, 257}, Shape{18, 100, 1025}, Shape{17, 515, 40}}) {
      shapes.push_back(more);
    }
  }
  for (WeightType type : kTypes) {
    for (Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kBf16}) {
      for (const Shape& s : shapes) {
        const bool accumulate = s.rows % 2 == 1;
        check_project(engines, where, type, arithmetic, s.rows, s.out, s.in, accumulate);
        check_project_back(engines, where, type, arithmetic, s.rows, s.out, s.in, !accumulate);
      }
      check_rows_apart(engines, where, type, arithmetic);
    }
  }
  std::vector<Shape> products = {{1, 1, 1}, {5, 16, 33}, {16, 3, 70}, {31, 64, 31}, {12, 50, 300}};
  if (!quick) products.insert(products.end(), {{128, 128, 64}, {130, 16, 600}, {16, 700, 129}, {300, 200, 16}});
  for (const Shape& s : products) {
    for (int turn = 0; turn < 4; turn++) {
      check_multiply(engines, where, s.rows, s.out, s.in, turn & 1, turn & 2, 1, 0);
      check_multiply(engines, where, s.rows, s.out, s.in, turn & 1, turn & 2, 0.3f, turn & 1 ? 1.0f : -0.7f);
    }
  }
  printf("%s%s: %s\n", device, engines.one.has_bf16() ? " with bf16" : "",
         failures == failures_before ? "ok" : "FAILED");
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
  for (uint32_t i = 0; lorakeet_cpu_kernels(i); i++) check_device(lorakeet_cpu_kernels(i)->device, quick);
  return failures > 0;
}
