#include "dense.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "arguments.h"
#include "lorakeet/dense.h"
#include "modules.h"

namespace lorakeet {
namespace {

Problem read_kernels(napi_env env, napi_value value, const lorakeet_dense** kernels) {
  char device[32];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, device, sizeof(device), &length) == napi_ok) {
    *kernels = lorakeet_dense_kernels(device);
    if (*kernels) return {};
  }
  return {"ERR_BACKEND_UNAVAILABLE", "instructionSet: got another value, expected a set that this processor runs"};
}

Problem read_size(napi_env env, napi_value value, const char* name, size_t* out) {
  double number = 0;
  if (Problem problem = read_number(env, value, name, &number)) return problem;
  // written so that NaN fails
  if (!(number >= 0 && number < 4294967296.0) || number != std::floor(number)) {
    return {"ERR_INVALID_ARGUMENT", std::string(name) + ": got " + std::to_string(number) + ", expected a size"};
  }
  *out = static_cast<size_t>(number);
  return {};
}

Problem read_doubles(napi_env env, napi_value value, const char* name, size_t expected, double** out) {
  napi_typedarray_type kind;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &kind, &length, &data, nullptr, nullptr) != napi_ok ||
      kind != napi_float64_array) {
    return {"ERR_INVALID_ARGUMENT", std::string(name) + ": got another value, expected a Float64Array"};
  }
  if (length != expected) {
    return {"ERR_LENGTH_MISMATCH",
            std::string(name) + ": got " + std::to_string(length) + " elements, expected " + std::to_string(expected)};
  }
  *out = static_cast<double*>(data);
  return {};
}

// argv: data, row stride, column stride; the last entry has to lie within the data.
Problem read_matrix(napi_env env, const napi_value* argv, const char* name, size_t rows, size_t columns,
                    lorakeet_matrix* out) {
  napi_typedarray_type kind;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, argv[0], &kind, &length, &data, nullptr, nullptr) != napi_ok ||
      (kind != napi_float32_array && kind != napi_float64_array)) {
    return {"ERR_INVALID_ARGUMENT", std::string(name) + ": got another value, expected a Float32Array or Float64Array"};
  }
  const std::string row_name = std::string(name) + ".rowStride", column_name = std::string(name) + ".columnStride";
  if (Problem problem = read_size(env, argv[1], row_name.c_str(), &out->row_stride)) return problem;
  if (Problem problem = read_size(env, argv[2], column_name.c_str(), &out->column_stride)) return problem;
  // every factor is below 2³², so only the sum could leave 64 bits, and doubles see that
  const double last =
      (rows - 1.0) * static_cast<double>(out->row_stride) + (columns - 1.0) * static_cast<double>(out->column_stride);
  if (rows > 0 && columns > 0 && !(last < static_cast<double>(length))) {
    return {"ERR_LENGTH_MISMATCH", std::string(name) + ": got " + std::to_string(length) +
                                       " elements, expected more than " + std::to_string(last)};
  }
  out->floats = kind == napi_float32_array ? static_cast<const float*>(data) : nullptr;
  out->doubles = kind == napi_float64_array ? static_cast<const double*>(data) : nullptr;
  out->rows = rows;
  out->columns = columns;
  return {};
}

Problem run_multiply(napi_env env, const napi_value* argv) {
  const lorakeet_dense* kernels = nullptr;
  size_t rows = 0, inner = 0, columns = 0, threads = 0;
  lorakeet_matrix x{}, y{};
  double* out = nullptr;
  if (Problem problem = read_kernels(env, argv[0], &kernels)) return problem;
  if (Problem problem = read_size(env, argv[1], "rows", &rows)) return problem;
  if (Problem problem = read_size(env, argv[2], "inner", &inner)) return problem;
  if (Problem problem = read_size(env, argv[3], "columns", &columns)) return problem;
  if (Problem problem = read_matrix(env, argv + 4, "x", rows, inner, &x)) return problem;
  if (Problem problem = read_matrix(env, argv + 7, "y", inner, columns, &y)) return problem;
  if (Problem problem = read_doubles(env, argv[10], "out", rows * columns, &out)) return problem;
  if (Problem problem = read_size(env, argv[11], "threads", &threads)) return problem;
  if (rows == 0 || columns == 0) return {};
  if (kernels->multiply(&x, &y, out, static_cast<uint32_t>(threads))) return status_problem(LORAKEET_OUT_OF_MEMORY);
  return {};
}

Problem run_eigen(napi_env env, const napi_value* argv) {
  const lorakeet_dense* kernels = nullptr;
  size_t n = 0;
  double *matrix = nullptr, *values = nullptr;
  if (Problem problem = read_kernels(env, argv[0], &kernels)) return problem;
  if (Problem problem = read_size(env, argv[1], "size", &n)) return problem;
  if (Problem problem = read_doubles(env, argv[2], "matrix", n * n, &matrix)) return problem;
  if (Problem problem = read_doubles(env, argv[3], "values", n, &values)) return problem;
  for (size_t i = 0; i < n * n; i++) {
    // the iteration would not end
    if (!std::isfinite(matrix[i])) return {"ERR_NOT_FINITE", "matrix: got NaN or infinity, expected finite numbers"};
  }
  if (n > 0 && kernels->symmetric_eigen(n, matrix, values)) return status_problem(LORAKEET_OUT_OF_MEMORY);
  return {};
}

// Reads an array of `expected` elements with one of the readers of arguments.h.
template <typename Reader, typename Span>
Problem read_exactly(napi_env env, napi_value value, const char* name, double expected, Reader read, Span* out) {
  if (Problem problem = read(env, value, name, out)) return problem;
  // sums of products of sizes leave 64 bits only where no array can follow, and doubles see that
  if (static_cast<double>(out->length) != expected) {
    return {"ERR_LENGTH_MISMATCH", std::string(name) + ": got " + std::to_string(out->length) + " elements, expected " +
                                       std::to_string(expected)};
  }
  return {};
}

Problem read_count(napi_env env, napi_value value, const char* name, double most, double* out) {
  if (Problem problem = read_number(env, value, name, out)) return problem;
  if (!(*out >= 1 && *out <= most) || *out != std::floor(*out)) {
    return {"ERR_OUT_OF_RANGE", std::string(name) + ": got " + std::to_string(*out) +
                                    ", expected an integer from 1 to " + std::to_string(most)};
  }
  return {};
}

Problem run_magnitude_at(napi_env env, const napi_value* argv) {
  const lorakeet_dense* kernels = nullptr;
  size_t rows = 0, rank = 0, columns = 0, threads = 0;
  Span<float> b, a, found;
  lorakeet_summand product{};
  double count = 0;
  if (Problem problem = read_kernels(env, argv[0], &kernels)) return problem;
  if (Problem problem = read_size(env, argv[1], "rows", &rows)) return problem;
  if (Problem problem = read_size(env, argv[2], "rank", &rank)) return problem;
  // otherwise nothing would bound the rows and columns that are asked for
  if (rank == 0) return {"ERR_OUT_OF_RANGE", "rank: got 0, expected at least 1"};
  if (Problem problem = read_size(env, argv[3], "columns", &columns)) return problem;
  const double entries = static_cast<double>(rows) * static_cast<double>(columns);
  if (Problem problem = read_number(env, argv[6], "scale", &product.scale)) return problem;
  if (Problem problem = read_count(env, argv[7], "count", entries, &count)) return problem;
  if (Problem problem = read_size(env, argv[9], "threads", &threads)) return problem;
  const double rank_of = static_cast<double>(rank);
  if (Problem problem = read_exactly(env, argv[4], "b", static_cast<double>(rows) * rank_of, read_floats, &b))
    return problem;
  if (Problem problem = read_exactly(env, argv[5], "a", rank_of * static_cast<double>(columns), read_floats, &a))
    return problem;
  if (Problem problem = read_exactly(env, argv[8], "found", 2, read_floats, &found)) return problem;
  product.b = b.data;
  product.a = a.data;
  product.rank = rank;
  float magnitudes[2];
  if (kernels->magnitude_at(rows, columns, &product, static_cast<uint64_t>(count), magnitudes,
                            static_cast<uint32_t>(threads))) {
    return status_problem(LORAKEET_OUT_OF_MEMORY);
  }
  std::copy_n(magnitudes, 2, found.data);
  return {};
}

// Memory is taken for each summand.
constexpr size_t kMaxSummands = 65536;
constexpr size_t kNumbers = 6;

bool is_word(double number) { return number >= 0 && number < 4294967296.0 && number == std::floor(number); }

// The summands' numbers and ranks, copied so that nobody can change them any more.
Problem read_summands(const Span<const uint32_t>& ranks, const double* numbers,
                      std::vector<lorakeet_summand>* summands) {
  for (size_t i = 0; i < ranks.length; i++, numbers += kNumbers) {
    lorakeet_summand summand{};
    summand.rank = ranks.data[i];
    summand.scale = numbers[0];
    summand.weight = numbers[1];
    summand.threshold = numbers[2];
    summand.share = numbers[3];
    const double key[] = {numbers[4], numbers[5]};
    const std::string name = "numbers of summand " + std::to_string(i);
    if (!(summand.share > 0 && summand.share <= 1)) {
      return {"ERR_OUT_OF_RANGE", name + ": got share " + std::to_string(summand.share) + ", expected above 0 to 1"};
    }
    for (size_t k = 0; k < 2; k++) {
      if (!is_word(key[k])) {
        return {"ERR_OUT_OF_RANGE", name + ": got " + std::to_string(key[k]) + ", expected a word of 32 bits"};
      }
      summand.key[k] = static_cast<uint32_t>(key[k]);
    }
    summands->push_back(summand);
  }
  return {};
}

Problem run_merge_entries(napi_env env, const napi_value* argv) {
  const lorakeet_dense* kernels = nullptr;
  size_t rows = 0, columns = 0, election = 0, threads = 0;
  Span<const uint32_t> ranks;
  Span<float> b, a, merged;
  double lambda = 0;
  double* numbers = nullptr;
  std::vector<lorakeet_summand> summands;
  if (Problem problem = read_kernels(env, argv[0], &kernels)) return problem;
  if (Problem problem = read_size(env, argv[1], "rows", &rows)) return problem;
  if (Problem problem = read_size(env, argv[2], "columns", &columns)) return problem;
  if (Problem problem = read_size(env, argv[7], "election", &election)) return problem;
  if (Problem problem = read_number(env, argv[8], "lambda", &lambda)) return problem;
  if (Problem problem = read_size(env, argv[10], "threads", &threads)) return problem;
  if (election > LORAKEET_ELECT_FREQUENCY) {
    return {"ERR_INVALID_ARGUMENT", "election: got " + std::to_string(election) + ", expected 0, 1 or 2"};
  }
  if (Problem problem = read_uint32s(env, argv[3], "ranks", &ranks)) return problem;
  if (ranks.length < 1 || ranks.length > kMaxSummands) {
    return {"ERR_OUT_OF_RANGE",
            "ranks: got " + std::to_string(ranks.length) + " summands, expected 1 to " + std::to_string(kMaxSummands)};
  }
  if (Problem problem = read_doubles(env, argv[6], "numbers", kNumbers * ranks.length, &numbers)) return problem;
  if (Problem problem = read_summands(ranks, numbers, &summands)) return problem;
  double rank_sum = 0;
  for (const lorakeet_summand& summand : summands) rank_sum += static_cast<double>(summand.rank);
  const double row_count = static_cast<double>(rows), column_count = static_cast<double>(columns);
  if (Problem problem = read_exactly(env, argv[4], "b", row_count * rank_sum, read_floats, &b)) return problem;
  if (Problem problem = read_exactly(env, argv[5], "a", rank_sum * column_count, read_floats, &a)) return problem;
  if (Problem problem = read_exactly(env, argv[9], "merged", row_count * column_count, read_floats, &merged)) {
    return problem;
  }
  if (merged.length == 0) return {};
  const float *next_b = b.data, *next_a = a.data;
  for (lorakeet_summand& summand : summands) {
    summand.b = next_b;
    summand.a = next_a;
    next_b += rows * summand.rank;
    next_a += summand.rank * columns;
  }
  if (kernels->merge_entries(rows, columns, summands.data(), summands.size(), static_cast<lorakeet_election>(election),
                             lambda, merged.data, static_cast<uint32_t>(threads))) {
    return status_problem(LORAKEET_OUT_OF_MEMORY);
  }
  return {};
}

}  // namespace

napi_value multiply(napi_env env, napi_callback_info info) { return call_function<12>(env, info, run_multiply); }

napi_value symmetric_eigen(napi_env env, napi_callback_info info) { return call_function<4>(env, info, run_eigen); }

napi_value magnitude_at(napi_env env, napi_callback_info info) {
  return call_function<10>(env, info, run_magnitude_at);
}

napi_value merge_entries(napi_env env, napi_callback_info info) {
  return call_function<11>(env, info, run_merge_entries);
}

}  // namespace lorakeet
