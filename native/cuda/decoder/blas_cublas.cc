// cuBLAS as the driver's machine has it: opened by name, so that the module needs neither its header nor the library to
// be built or loaded. The few declarations below are those of cublas_v2.h, unchanged since CUDA 11.
#include "blas.h"

#include <stdlib.h>

#include <mutex>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace lorakeet::cuda::decoder {
namespace {

using Handle = void*;
using Status = int;

constexpr Status kAllocationFailed = 3;
constexpr int kPlain = 0, kTransposed = 1;                 // cublasOperation_t
constexpr int kFloat = 0, kBf16 = 14;                      // cudaDataType_t
constexpr int kComputeFloat = 68;                          // CUBLAS_COMPUTE_32F: no TF32
constexpr int kDefaultAlgorithm = -1;                      // by shape and device alone
constexpr unsigned kDefaultMath = 0, kNoReducedSums = 16;  // cublasMath_t
constexpr int kNoAtomics = 0;                              // cublasAtomicsMode_t
constexpr const char* kVariable = "LORAKEET_CUBLAS";

struct Library {
  std::string reason;
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  Status (*set_stream)(Handle, void* stream);
  Status (*set_workspace)(Handle, void* workspace, size_t bytes);
  Status (*set_math_mode)(Handle, unsigned mode);
  Status (*set_atomics_mode)(Handle, int mode);
  Status (*gemm)(Handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
                 int type_a, int a_stride, const void* b, int type_b, int b_stride, const void* beta, void* c,
                 int type_c, int c_stride, int compute, int algorithm);
  const char* (*describe)(Status);
};

#if defined(_WIN32)

constexpr const char* kFiles[] = {"cublas64_13.dll", "cublas64_12.dll"};

void* open_file(const char* file, std::string* reason) {
  void* const library = reinterpret_cast<void*>(LoadLibraryA(file));
  if (!library) *reason = std::string(file) + " (error " + std::to_string(GetLastError()) + ")";
  return library;
}
void* find(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}

#else

constexpr const char* kFiles[] = {"libcublas.so.13", "libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so"};

void* open_file(const char* file, std::string* reason) {
  void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) *reason = dlerror();
  return library;
}
void* find(void* library, const char* name) { return dlsym(library, name); }

#endif

// The first of the files that opens, or what is said of each.
void* open_any(std::string* reason) {
  const char* named = getenv(kVariable);
  if (named && *named) {
    void* const library = open_file(named, reason);
    if (!library) *reason = "cuBLAS cannot be opened, as " + std::string(kVariable) + " names it: " + *reason;
    return library;
  }
  std::string all;
  for (const char* file : kFiles) {
    std::string own;
    if (void* const library = open_file(file, &own)) return library;
    all += (all.empty() ? "" : "; ") + own;
  }
  *reason = "cuBLAS cannot be opened: " + all + " (" + kVariable + " names it elsewhere)";
  return nullptr;
}

Library open_library() {
  Library library = {};
  void* const file = open_any(&library.reason);
  if (!file) return library;
  const struct {
    const char* name;
    void** function;
  } functions[] = {{"cublasCreate_v2", reinterpret_cast<void**>(&library.create)},
                   {"cublasDestroy_v2", reinterpret_cast<void**>(&library.destroy)},
                   {"cublasSetStream_v2", reinterpret_cast<void**>(&library.set_stream)},
                   {"cublasSetWorkspace_v2", reinterpret_cast<void**>(&library.set_workspace)},
                   {"cublasSetMathMode", reinterpret_cast<void**>(&library.set_math_mode)},
                   {"cublasSetAtomicsMode", reinterpret_cast<void**>(&library.set_atomics_mode)},
                   {"cublasGemmEx", reinterpret_cast<void**>(&library.gemm)},
                   {"cublasGetStatusString", reinterpret_cast<void**>(&library.describe)}};
  for (const auto& function : functions) {
    *function.function = find(file, function.name);
    if (!*function.function) {
      library.reason = std::string("cuBLAS is too old: it has no ") + function.name;
      return library;
    }
  }
  return library;
}

// Opened once, and never closed: handles may be in use until the process ends.
const Library& cublas() {
  static const Library library = open_library();
  return library;
}

void check(const char* what, Status status) {
  if (status == 0) return;
  throw Failure{
      status == kAllocationFailed ? LORAKEET_OUT_OF_MEMORY : LORAKEET_DEVICE_FAILURE,
      std::string(what) + ": " + cublas().describe(status) + " (cuBLAS status " + std::to_string(status) + ")"};
}

int dimension(size_t value) {
  if (value > INT32_MAX) throw Failure{LORAKEET_OUT_OF_MEMORY, "a matrix is larger than cuBLAS multiplies"};
  return static_cast<int>(value);
}

}  // namespace

std::string blas_missing() { return cublas().reason; }

Blas::Blas(Stream& stream, void* workspace) {
  check("cublasCreate", cublas().create(&handle_));
  try {
    check("cublasSetStream", cublas().set_stream(handle_, stream.handle()));
    // after the stream, which takes the library's own memory back
    check("cublasSetWorkspace", cublas().set_workspace(handle_, workspace, kWorkspaceBytes));
    check("cublasSetMathMode", cublas().set_math_mode(handle_, kDefaultMath | kNoReducedSums));
    check("cublasSetAtomicsMode", cublas().set_atomics_mode(handle_, kNoAtomics));
  } catch (...) {
    cublas().destroy(handle_);
    throw;
  }
}

Blas::~Blas() { cublas().destroy(handle_); }

void Blas::multiply(const Product& product) {
  if (product.m == 0 || product.n == 0) return;
  // cuBLAS counts in columns: what it takes for a matrix is its transpose, so that it is asked for bᵀ·aᵀ = cᵀ.
  const int type = product.bf16 ? kBf16 : kFloat;
  check("cublasGemmEx",
        cublas().gemm(handle_, product.b_transposed ? kTransposed : kPlain, product.a_transposed ? kTransposed : kPlain,
                      dimension(product.n), dimension(product.m), dimension(product.k), &product.alpha, product.b, type,
                      dimension(product.b_stride), product.a, type, dimension(product.a_stride), &product.beta,
                      product.c, kFloat, dimension(product.c_stride), kComputeFloat, kDefaultAlgorithm));
}

}  // namespace lorakeet::cuda::decoder
