#include "plan.h"

#include <algorithm>

#include "update_kernel.h"

namespace lorakeet::cuda {
namespace {

// Blocks of a cluster that work on global memory own at least so many columns; fewer would only wait for one another.
constexpr uint32_t kStreamedColumns = 512;

uint32_t threads_for(const Model& model, uint32_t ranks) {
  const uint32_t columns = Share(model.in_pitch(), 0, ranks).count + Share(model.out_pitch(), 0, ranks).count;
  const uint32_t pieces = quads(model.rank) * columns / kQuad;  // of elementwise phases: one or two for every thread
  uint32_t threads = kLanes;
  while (threads < kMostThreads && 2 * threads <= pieces) threads *= 2;
  return threads;
}

}  // namespace

Plan make_plan(const Model& model, const Limits& limits) {
  // The smallest cluster of which two blocks fit a multiprocessor, so that one loads while the other computes; if there
  // is none, the smallest that fits at all.
  for (const uint32_t share : {2u, 1u}) {
    for (uint32_t ranks = 1; ranks <= limits.ranks; ranks *= 2) {
      const Plan plan = {threads_for(model, ranks), ranks, 1};
      if (update_shared_floats(model, plan, kChunk) * sizeof(float) <= limits.shared_bytes / share) return plan;
    }
  }
  uint32_t ranks = 1;
  while (2 * ranks <= limits.ranks && (model.in_pitch() + model.out_pitch()) / (2 * ranks) >= kStreamedColumns) {
    ranks *= 2;
  }
  return {kMostThreads, ranks, 0};
}

}  // namespace lorakeet::cuda
