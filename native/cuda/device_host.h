// What the parts of the host's device share.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace lorakeet::cuda {

// A number of the environment.
uint64_t setting(const char* name, uint64_t otherwise);

// Memory full of NaN, aligned as on a GPU; give_back() returns how much it was.
void* take(size_t bytes);
size_t give_back(void* memory);

// To be called at every launch: the one that LORAKEET_SHIM_FAIL_LAUNCH names throws.
void fail_if_told();

}  // namespace lorakeet::cuda
