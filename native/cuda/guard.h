// Failures on their way over the C boundary, across which nothing is thrown.
#pragma once

#include <new>

#include "device.h"

namespace lorakeet::cuda {

// Keeps the reason for this thread, until lorakeet_cuda_failure() tells it. Defined in module.cc.
lorakeet_status failed(lorakeet_status status, const std::string& reason);

template <class Operation>
lorakeet_status guarded(Operation operation) noexcept {
  failed(LORAKEET_OK, "");
  try {
    operation();
    return LORAKEET_OK;
  } catch (const Failure& failure) {
    return failed(failure.status, failure.reason);
  } catch (const std::bad_alloc&) {
    return failed(LORAKEET_OUT_OF_MEMORY, "the host has no memory");
  } catch (...) {
    return failed(LORAKEET_DEVICE_FAILURE, "an unknown failure");
  }
}

}  // namespace lorakeet::cuda
