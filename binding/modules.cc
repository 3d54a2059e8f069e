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
constexpr uint32_t kBindingVersion = 8;

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

struct CudaModule {
  const lorakeet_kernels* kernels = nullptr;
  lorakeet_cuda_failure_function failure = nullptr;
  std::string reason;
};

CudaModule open_cuda() {
  CudaModule module;
  // The variable names another build of the module, as tests do.
  const char* named = std::getenv("LORAKEET_CUDA_MODULE");
  const std::string path = named && *named ? named : own_folder() + "/" + kCudaFile;
  if (!std::ifstream(path)) {
    module.reason = "the CUDA module was not built (there is no " + path.substr(path.find_last_of("/\\") + 1) + ")";
    return module;
  }
  void* symbol = open_symbol(path, LORAKEET_CUDA_ENTRY, &module.reason);
  void* failure = symbol ? open_symbol(path, LORAKEET_CUDA_FAILURE, &module.reason) : nullptr;
  if (!failure) return module;
  module.failure = reinterpret_cast<lorakeet_cuda_failure_function>(failure);
  char reason[512] = "";
  const lorakeet_kernels* kernels = reinterpret_cast<lorakeet_cuda_kernels_function>(symbol)(reason, sizeof(reason));
  if (!kernels) {
    module.reason = reason;
  } else if (kernels->abi_version != LORAKEET_KERNELS_ABI) {
    module.reason = path + " has kernel ABI " + std::to_string(kernels->abi_version) + ", expected " +
                    std::to_string(LORAKEET_KERNELS_ABI);
  } else {
    module.kernels = kernels;
  }
  return module;
}

std::atomic<lorakeet_cuda_failure_function> cuda_failure{nullptr};

// Opened once per process, by whichever environment asks first.
const CudaModule& cuda() {
  static const CudaModule module = [] {
    CudaModule opened = open_cuda();
    cuda_failure = opened.failure;
    return opened;
  }();
  return module;
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
    return cuda().kernels;
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
    *reason = "there is no language-model decoder for CUDA";
    return nullptr;
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

// info(withCuda): { bindingVersion, kernelsAbi, instructionSets: string[], stateDtypes: number,
//                   cudaDevice?: string, cudaReason?: string, cudaStateDtypes?: number }
// Opening the CUDA module is slow, so its fields are there only when asked for. stateDtypes are the table's bits.
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
    result.Set("cudaDevice", cuda().kernels ? cuda().kernels->device : "");
    result.Set("cudaReason", cuda().reason);
    result.Set("cudaStateDtypes", cuda().kernels ? cuda().kernels->state_dtypes : 0);
  }
  return result;
}

}  // namespace lorakeet
