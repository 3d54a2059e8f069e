// Which kernel tables there are: the CPU's, linked in, and CUDA's, opened from its own module when first asked for.
#pragma once

#include <napi.h>

#include <string>

#include "arguments.h"
#include "lorakeet/decoder.h"
#include "lorakeet/kernels.h"

namespace lorakeet {

// device 'cpu' with an instruction set (empty: the fastest), or 'cuda'. Null, and the reason, when it cannot be had.
const lorakeet_kernels* find_kernels(const std::string& device, const std::string& isa, std::string* reason);

// The language-model decoder of a device, likewise.
const lorakeet_decoder* find_decoder(const std::string& device, const std::string& isa, std::string* reason);

Problem status_problem(lorakeet_status status);

// Keeps this addon's code in memory for the life of the process: helper threads outlive the worker that started them.
void pin_module();

Napi::Value info(const Napi::CallbackInfo& call);

}  // namespace lorakeet
