// What the kernels are handed: plain structs of device pointers, filled by the pool and passed by value at launch.
#pragma once

#include "frame.h"

namespace lorakeet::cuda {

// Rows of one slot are worked on in chunks of this many, whatever their number: working memory stays bounded.
constexpr uint32_t kChunk = 16;

// How a kernel is laid over the GPU: fixed by the pool's shape and the device, because it fixes the order of sums.
struct Plan {
  uint32_t threads;   // of a block, or of a team within one
  uint32_t ranks;     // blocks per user, working together as a cluster
  uint32_t resident;  // 0 or 1: weights, gradient and rows lie in shared memory
};

// The columns of in' or out' that one block of a cluster owns.
struct Share {
  uint32_t first, count;

  LORAKEET_BOTH Share(uint32_t pitch, uint32_t rank, uint32_t ranks) {
    const uint32_t each = (quads(pitch) + ranks - 1) / ranks;
    const uint32_t begin = smaller(rank * each, quads(pitch)), end = smaller(begin + each, quads(pitch));
    first = begin * kQuad;
    count = (end - begin) * kQuad;
  }
};

// Rows padded to a multiple of four numbers.
struct Rows {
  const float* base;    // the caller's vectors, or the item table
  const uint32_t* ids;  // null: row i is vector i
  uint32_t pitch;

  LORAKEET_DEVICE const float* operator[](uint32_t i) const {
    return base + static_cast<uint64_t>(ids ? ids[i] : i) * pitch;
  }
};

// Consecutive rows, kChunk at most, of one slot.
struct ApplyGroup {
  const float* weights;  // of its frame
  uint32_t first, count;
};

struct ApplyBatch {
  Model model;
  uint32_t groups;
  const ApplyGroup* group;
  Rows x;
  float* y;  // [rows × out']
};

struct UpdateBatch {
  Model model;
  FrameLayout layout;
  Plan plan;
  uint32_t chunk;  // rows that shared memory has room for: kChunk, or fewer if no user has more
  uint32_t users;
  void* const* frames;          // [users]
  const uint32_t* row_offsets;  // [users + 1]
  uint32_t first_row;           // what to subtract from row_offsets
  Rows x, target;
  const float* coefficient;  // [rows] 2·w/(out·Σw), negative for a user whose weights are all 0; null: weights are 1
  // [users], or null: the default beside it
  const float *learning_rate, *max_grad_norm, *ewc_lambda;
  float default_learning_rate, default_max_grad_norm, default_ewc_lambda;
  float *loss, *grad_norm;  // [users]
  uint32_t* flags;          // [users]
  float* scratch;           // update_scratch_floats for every cluster of the grid
};

struct ConsolidateBatch {
  Model model;
  FrameLayout layout;
  uint32_t users;
  void* const* frames;
  const uint32_t* row_offsets;
  uint32_t first_row;
  Rows x;
  float decay;
  uint32_t commit;  // 0: only look; 1: store
  uint32_t*
      not_finite;  // [users], written when commit = 0: whether the new Fisher would hold a number that is not finite
};

// Whole frames one after another, from memory to memory; where `from` is null, zeros.
struct MoveBatch {
  uint32_t count;
  uint64_t bytes;  // of a frame
  const void* const* from;
  void* const* to;
};

// Slabs to frames (`unpack` 0) or back (1).
struct PackBatch {
  Model model;
  FrameLayout layout;
  uint32_t count, unpack;
  void* const* frames;
  float* slabs;     // [count × slab_floats]
  uint32_t* steps;  // [count]
};

}  // namespace lorakeet::cuda
