// Checks and times the language-model decoder of a module that exports lorakeet_cuda_decoder, through its C ABI;
// bench/gpu.sh runs it.
//
//   decoder_driver <module> name                 the device's name, or the reason why there is none (exit status 2)
//   decoder_driver <module> check [<goldens>]    all checks; the goldens are those of flatten_llm_goldens.py
//   decoder_driver <module> small                a few, quick enough for compute-sanitizer
//   decoder_driver <module> time <seconds>       training and decoding
#include <dlfcn.h>
#include <stdlib.h>

#include "decoder_support.h"
#include "lorakeet/cpu.h"

namespace {

const lorakeet_decoder* open_decoder(const char* path) {
  void* module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    printf("cannot open %s: %s\n", path, dlerror());
    return nullptr;
  }
  const auto entry = reinterpret_cast<lorakeet_cuda_decoder_function>(dlsym(module, LORAKEET_CUDA_DECODER));
  cuda_failure = reinterpret_cast<lorakeet_cuda_failure_function>(dlsym(module, LORAKEET_CUDA_FAILURE));
  if (!entry || !cuda_failure) {
    printf("%s does not export %s and %s\n", path, LORAKEET_CUDA_DECODER, LORAKEET_CUDA_FAILURE);
    return nullptr;
  }
  char reason[2048] = "";
  const lorakeet_decoder* decoder = entry(reason, sizeof(reason));
  if (!decoder) printf("%s\n", reason);
  return decoder;
}

int run_checks(const lorakeet_decoder& decoder, bool small, const char* goldens) {
  Checks checks;
  const lorakeet_decoder& oracle = *lorakeet_cpu_decoder(lorakeet_cpu_kernels(0)->device);
  check_against_oracle(decoder, oracle, checks, small);
  if (goldens) check_decoder_goldens(decoder, checks, goldens);
  printf("%s: %d checks, %d failed; nearest to its limit, at %.0f %%: %s\n", decoder.device, checks.count(),
         checks.failures(), 100 * checks.worst_share(), checks.worst().c_str());
  return checks.failures() ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  setvbuf(stdout, nullptr, _IOLBF, 0);  // a run that is cut short has said what it found
  const std::string command = count > 2 ? arguments[2] : "";
  if (command != "name" && command != "check" && command != "small" && !(command == "time" && count == 4)) {
    printf("usage: decoder_driver <module> name | check [<goldens>] | small | time <seconds>\n");
    return 64;
  }
  const lorakeet_decoder* decoder = open_decoder(arguments[1]);
  if (!decoder) return 2;
  if (decoder->abi_version != LORAKEET_DECODER_ABI) {
    printf("the module's ABI is %u, expected %u\n", decoder->abi_version, LORAKEET_DECODER_ABI);
    return 1;
  }
  if (command == "name") printf("%s\n", decoder->device);
  if (command == "time") time_decoder(*decoder, strtod(arguments[3], nullptr));
  if (command == "name" || command == "time") return 0;
  return run_checks(*decoder, command == "small", count > 3 ? arguments[3] : nullptr);
}
