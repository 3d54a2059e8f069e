// How an update of a given shape is laid over a given device.
#pragma once

#include "device.h"

namespace lorakeet::cuda {

// Depends on nothing but the shape and the device: it fixes the order of sums, which must not change from call to call.
Plan make_plan(const Model& model, const Limits& limits);

}  // namespace lorakeet::cuda
