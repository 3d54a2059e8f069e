// The decoder's table for a GPU.
#pragma once

#include "blas.h"
#include "lorakeet/decoder.h"

namespace lorakeet::cuda::decoder {

// `device` stays where it is.
lorakeet_decoder make_table(const char* device);

}  // namespace lorakeet::cuda::decoder
