// What a pool's configuration means on a device.
#pragma once

#include "batch.h"

namespace lorakeet::cuda {

Model make_model(const lorakeet_pool_config& config);

// The most that the slots of one pool may take: LORAKEET_CUDA_DEVICE_BYTES, or all that the device has;
// LORAKEET_CUDA_HOST_BYTES, or half of the machine's memory.
uint64_t device_budget();
uint64_t host_budget();

}  // namespace lorakeet::cuda
