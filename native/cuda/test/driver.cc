// Checks and times a module that exports lorakeet_cuda_kernels, through its C ABI alone; bench/gpu.sh runs it.
//
//   driver <module> name                       the device's name, or the reason why there is none (exit status 2)
//   driver <module> check [<goldens>]          all checks
//   driver <module> small                      a few, quick enough for compute-sanitizer
//   driver <module> time <copy GB/s> <upload GB/s>   a table of times
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

namespace {

const lorakeet_kernels* open_kernels(const char* path) {
  void* module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    printf("cannot open %s: %s\n", path, dlerror());
    return nullptr;
  }
  const auto entry = reinterpret_cast<lorakeet_cuda_kernels_function>(dlsym(module, LORAKEET_CUDA_ENTRY));
  if (!entry) {
    printf("%s does not export %s\n", path, LORAKEET_CUDA_ENTRY);
    return nullptr;
  }
  cuda_failure = reinterpret_cast<lorakeet_cuda_failure_function>(dlsym(module, LORAKEET_CUDA_FAILURE));
  if (!cuda_failure) {
    printf("%s does not export %s\n", path, LORAKEET_CUDA_FAILURE);
    return nullptr;
  }
  char reason[512] = "";
  const lorakeet_kernels* kernels = entry(reason, sizeof(reason));
  if (!kernels) printf("%s\n", reason);
  return kernels;
}

// Devices for the host shim to be: with little shared memory, so that small shapes take a cluster, or a cluster that
// works in scratch memory; and without clusters.
const struct {
  const char *shared_bytes, *ranks;
} kShimDevices[] = {{"9000", "8"}, {"2000", "8"}, {"65536", "1"}, {"4000", "1"}};

int run_checks(const lorakeet_kernels& kernels, bool small, const char* goldens) {
  Checks checks;
  check_behaviour(kernels, checks, small);
  check_random_cases(kernels, checks, small, small ? 5 : 60);
  check_paging(kernels, checks, small);
  if (!small) check_pieces(kernels, checks);
  if (goldens) check_goldens(kernels, checks, goldens);
  if (strcmp(kernels.device, "host-shim") == 0) {
    check_failed_launches(kernels, checks);
    for (const auto& device : kShimDevices) {
      setenv("LORAKEET_SHIM_SHARED_BYTES", device.shared_bytes, 1);
      setenv("LORAKEET_SHIM_RANKS", device.ranks, 1);
      check_random_cases(kernels, checks, true, small ? 5 : 30);
      check_paging(kernels, checks, true);
      if (goldens) check_goldens(kernels, checks, goldens);
    }
  }
  printf("%s: %d checks, %d failed; nearest to its limit, at %.0f %%: %s\n", kernels.device, checks.count(),
         checks.failures(), 100 * checks.worst_share(), checks.worst().c_str());
  return checks.failures() ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string command = count > 2 ? arguments[2] : "";
  if (command != "name" && command != "check" && command != "small" && !(command == "time" && count == 5)) {
    printf("usage: driver <module> name | check [<goldens>] | small | time <copy GB/s> <upload GB/s>\n");
    return 64;
  }
  const lorakeet_kernels* kernels = open_kernels(arguments[1]);
  if (!kernels) return 2;
  if (kernels->abi_version != LORAKEET_KERNELS_ABI) {
    printf("the module's ABI is %u, expected %u\n", kernels->abi_version, LORAKEET_KERNELS_ABI);
    return 1;
  }
  if (command == "check" || command == "small") {
    return run_checks(*kernels, command == "small", count > 3 ? arguments[3] : nullptr);
  }
  if (command == "name") printf("%s\n", kernels->device);
  if (command == "time") time_kernels(*kernels, strtod(arguments[3], nullptr), strtod(arguments[4], nullptr));
  return 0;
}
