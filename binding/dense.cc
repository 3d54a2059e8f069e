#include "dense.h"

#include <cmath>
#include <string>

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

template <size_t Count>
napi_value call(napi_env env, napi_callback_info info, Problem (*body)(napi_env, const napi_value*)) {
  napi_value argv[Count];
  size_t argc = Count;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  const Problem problem = body(env, argv);
  return problem ? throw_problem(env, problem) : nullptr;
}

}  // namespace

napi_value multiply(napi_env env, napi_callback_info info) { return call<12>(env, info, run_multiply); }

napi_value symmetric_eigen(napi_env env, napi_callback_info info) { return call<4>(env, info, run_eigen); }

}  // namespace lorakeet
