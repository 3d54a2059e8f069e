// Errors of the CUDA runtime as failures.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "device.h"

namespace lorakeet::cuda {

inline std::string describe(const char* what, cudaError_t error) {
  return std::string(what) + ": " + cudaGetErrorString(error) + " (CUDA error " + std::to_string(error) + ")";
}

// Reading the error also clears it, so that one which is not sticky does not fail the next call.
inline void check(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw Failure{error == cudaErrorMemoryAllocation ? LORAKEET_OUT_OF_MEMORY : LORAKEET_DEVICE_FAILURE,
                describe(what, error)};
}

}  // namespace lorakeet::cuda
