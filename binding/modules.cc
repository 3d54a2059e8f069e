#include "modules.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>

#include "lorakeet/cpu.h"
#include "lorakeet/cuda.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace lorakeet {
namespace {

// Changes with every change of the addon's functions; src/kernels/addon.ts expects the same number.
constexpr uint32_t kBindingVersion = 9;

#if defined(_WIN32)

constexpr char kCudaFile[] = "liblorakeet_cuda.dll";

std::string own_folder() {
  HMODULE module;
  char path[4096];
  if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                          reinterpret_cast<LPCSTR>(&own_folder), &module)) {
    return ".";
  }
  const std::string file(path, GetModuleFileNameA(module, path, sizeof(path)));
  return file.substr(0, file.find_last_of("\\/"));
}

void* open_symbol(const std::string& path, const char* symbol, std::string* reason) {
  HMODULE module = LoadLibraryA(path.c_str());
  void* found = module ? reinterpret_cast<void*>(GetProcAddress(module, symbol)) : nullptr;
  if (!found) *reason = path + " cannot be opened (error " + std::to_string(GetLastError()) + ")";
  return found;
}

#else

constexpr char kCudaFile[] = "liblorakeet_cuda.so";

std::string own_folder() {
  Dl_info found;
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &found) || !found.dli_fname) return ".";
  const std::string file = found.dli_fname;
  return file.substr(0, file.find_last_of('/'));
}

void* open_symbol(const std::string& path, const char* symbol, std::string* reason) {
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* found = module ? dlsym(module, symbol) : nullptr;
  if (!found) {
    const char* error = dlerror();
    *reason = error ? error : path + " cannot be opened";
  }
  return found;
}

#endif

// A table of the CUDA module, or why there is none.
template <typename Table>
struct CudaTable {
  const Table* table = nullptr;
  std::string reason;
};

// The variable names another build of the module, as tests do.
std::string cuda_path() {
  const char* named = std::getenv("LORAKEET_CUDA_MODULE");
  return named && *named ? named : own_folder() + "/" + kCudaFile;
}

template <typename Table>
CudaTable<Table> open_cuda(const char* entry, uint32_t abi) {
  CudaTable<Table> opened;
  const std::string path = cuda_path();
  if (!std::ifstream(path)) {
    opened.reason = "the CUDA module was not built (there is no " + path.substr(path.find_last_of("/\\") + 1) + ")";
    return opened;
  }
  void* const symbol = open_symbol(path, entry, &opened.reason);
  if (!symbol) return opened;
  char reason[2048] = "";
  const Table* const table = reinterpret_cast<const Table* (*)(char*, size_t)>(symbol)(reason, sizeof(reason));
  if (!table) {
    opened.reason = reason;
  } else if (table->abi_version != abi) {
    opened.reason =
        path + " has ABI " + std::to_string(table->abi_version) + " of " + entry + ", expected " + std::to_string(abi);
  } else {
    opened.table = table;
  }
  return opened;
}

std::atomic<lorakeet_cuda_failure_function> cuda_failure{nullptr};

// What the table's operations say of their failures.
template <typename Table>
CudaTable<Table> with_failures(CudaTable<Table> opened) {
  if (!opened.table) return opened;
  void* const symbol = open_symbol(cuda_path(), LORAKEET_CUDA_FAILURE, &opened.reason);
  if (!symbol) return {nullptr, opened.reason};
  cuda_failure = reinterpret_cast<lorakeet_cuda_failure_function>(symbol);
  return opened;
}

// Opened once per process, by whichever environment asks first.
const CudaTable<lorakeet_kernels>& cuda() {
  static const auto opened = with_failures(open_cuda<lorakeet_kernels>(LORAKEET_CUDA_ENTRY, LORAKEET_KERNELS_ABI));
  return opened;
}

const CudaTable<lorakeet_decoder>& cuda_decoder() {
  static const auto opened = with_failures(open_cuda<lorakeet_decoder>(LORAKEET_CUDA_DECODER, LORAKEET_DECODER_ABI));
  return opened;
}

// ": " and what the CUDA module says about a failure on this thread that it has not yet told, if there is one.
std::string cuda_reason() {
  char reason[512] = "";
  if (const lorakeet_cuda_failure_function failure = cuda_failure) failure(reason, sizeof(reason));
  return reason[0] ? ": " + std::string(reason) : "";
}

}  // namespace

const lorakeet_kernels* find_kernels(const std::string& device, const std::string& isa, std::string* reason) {
  if (device == "cuda") {
    *reason = cuda().reason;
    return cuda().table;
  }
  if (device != "cpu") {
    *reason = "device: got '" + device + "', expected 'cpu' or 'cuda'";
    return nullptr;
  }
  std::string known;
  for (uint32_t i = 0; const lorakeet_kernels* kernels = lorakeet_cpu_kernels(i); i++) {
    if (isa.empty() || isa == kernels->device) return kernels;
    known += (i ? ", " : "") + std::string(kernels->device);
  }
  *reason = "instruction set: got '" + isa + "', expected one that this processor runs (" + known + ")";
  return nullptr;
}

const lorakeet_decoder* find_decoder(const std::string& device, const std::string& isa, std::string* reason) {
  if (device == "cuda") {
    *reason = cuda_decoder().reason;
    return cuda_decoder().table;
  }
  const lorakeet_kernels* kernels = find_kernels(device, isa, reason);
  return kernels ? lorakeet_cpu_decoder(kernels->device) : nullptr;
}

Problem status_problem(lorakeet_status status) {
  switch (status) {
    case LORAKEET_OK:
      return {};
    case LORAKEET_OUT_OF_MEMORY:
      return {"ERR_OUT_OF_MEMORY", "The backend could not allocate memory; nothing was changed" + cuda_reason()};
    case LORAKEET_NOT_FINITE:
      return {"ERR_NOT_FINITE", "x: got rows whose Fisher is not finite, expected finite rows of moderate size"};
    case LORAKEET_DUPLICATE_SLOT:
      return {"ERR_DUPLICATE_SLOT", "slots: got one twice, expected every slot at most once" + cuda_reason()};
    default:
      return {"ERR_BACKEND_FAILURE",
              "The backend failed with status " + std::to_string(static_cast<int>(status)) + cuda_reason()};
  }
}

void pin_module() {
  static std::once_flag once;
  std::call_once(once, [] {
#if defined(_WIN32)
    HMODULE module;
    GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                       reinterpret_cast<LPCSTR>(&pin_module), &module);
#else
    Dl_info found;
    if (dladdr(reinterpret_cast<void*>(&pin_module), &found) && found.dli_fname) {
      dlopen(found.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    }
#endif
  });
}

// info(withCuda, withDecoder): { bindingVersion, kernelsAbi, instructionSets: string[], stateDtypes: number,
//                                cudaDevice?: string, cudaReason?: string, cudaStateDtypes?: number,
//                                decoderDevice?: string, decoderReason?: string }
// Opening the CUDA module is slow, and so is cuBLAS, which its decoder needs: their fields are there only when asked
// for. stateDtypes are the table's bits.
Napi::Value info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("bindingVersion", kBindingVersion);
  result.Set("kernelsAbi", LORAKEET_KERNELS_ABI);
  Napi::Array sets = Napi::Array::New(env);
  for (uint32_t i = 0; const lorakeet_kernels* kernels = lorakeet_cpu_kernels(i); i++) {
    sets.Set(i, Napi::String::New(env, kernels->device));
  }
  result.Set("instructionSets", sets);
  result.Set("stateDtypes", lorakeet_cpu_kernels(0)->state_dtypes);
  if (call[0].IsBoolean() && call[0].As<Napi::Boolean>()) {
    result.Set("cudaDevice", cuda().table ? cuda().table->device : "");
    result.Set("cudaReason", cuda().reason);
    result.Set("cudaStateDtypes", cuda().table ? cuda().table->state_dtypes : 0);
  }
  if (call[1].IsBoolean() && call[1].As<Napi::Boolean>()) {
    result.Set("decoderDevice", cuda_decoder().table ? cuda_decoder().table->device : "");
    result.Set("decoderReason", cuda_decoder().reason);
  }
  return result;
}

}  // namespace lorakeet
