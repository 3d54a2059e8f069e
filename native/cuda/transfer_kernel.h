// Moving whole slots: between the caller's slabs and frames, and between frames.
//
// Data movement: what is read and written once is all there is. On the way to a frame B is transposed; a warp then
// reads numbers that lie `rank` apart, which the caches put right, and writes in the order of memory.
#pragma once

#include "batch.h"

namespace lorakeet::cuda {

template <class State>
LORAKEET_DEVICE void pack_slot(const Block& block, const PackBatch& batch, uint32_t index) {
  const Model& model = batch.model;
  const Frame<State> frame(batch.frames[index], batch.layout);
  float* slab = batch.slabs + index * model.slab_floats();
  for_each_section(model, frame, slab, [&](float* numbers, auto* section) {
    block.for_each(model.section(), [&](uint32_t p) {
      const Place place(model, p);
      if (!batch.unpack) {
        assign(section[p], place.padding ? 0 : numbers[place.slab]);
      } else if (!place.padding) {
        numbers[place.slab] = widen(section[p]);
      }
    });
  });
  block.for_each(1, [&](uint32_t) {
    if (batch.unpack) {
      batch.steps[index] = *frame.steps();
    } else {
      *frame.steps() = batch.steps[index];
      *frame.consolidations() = 0;
    }
  });
}

// Sixteen bytes at a time.
LORAKEET_DEVICE void move_frame(const Block& block, const MoveBatch& batch, uint32_t index) {
  const float* from = static_cast<const float*>(batch.from[index]);
  float* to = static_cast<float*>(batch.to[index]);
  block.for_each(static_cast<uint32_t>(batch.bytes / sizeof(Quad)),
                 [&](uint32_t q) { store_quad(to + q * kQuad, from ? load_quad(from + q * kQuad) : Quad{}); });
}

}  // namespace lorakeet::cuda
