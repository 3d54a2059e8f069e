// A frame: the memory of one slot on the device, and how it differs from the slab that kernels.h exchanges.
//
//   slab    [weights | fisher | anchor | moment1 | moment2]              each: A [rank × in], then B [out × rank]
//   frame   [weights | fisher | anchor | moment1 | moment2 | counts]     each: A [rank × in'], then Bᵀ [rank × out']
//
// in' and out' are padded to a multiple of four columns, so that every row starts at 16 bytes and no loop has a tail;
// the padding of weights is and stays zero. B is transposed because a thread that owns columns then reads and writes
// both matrices in the order of memory. Fisher and anchor are float or bf16, the other sections float. Two counts end a
// frame: of optimizer steps, and of consolidations since it was last written.
#pragma once

#include "lorakeet/kernels.h"
#include "numbers.h"

namespace lorakeet::cuda {

// The pool's shape and its settings that never differ between slots.
struct Model {
  uint32_t rank, in_features, out_features;
  uint32_t residual;  // 0 or 1
  uint32_t adamw;     // 0 or 1
  uint32_t ewc;       // lorakeet_ewc
  uint32_t bf16;      // 0 or 1: Fisher and anchor
  float scaling, weight_decay, epsilon;
  float beta1, beta2, beta1_rest, beta2_rest;  // rest: 1 − β, rounded once
  float log_beta1, log_beta2;

  LORAKEET_BOTH uint32_t in_pitch() const { return quads(in_features) * kQuad; }
  LORAKEET_BOTH uint32_t out_pitch() const { return quads(out_features) * kQuad; }
  LORAKEET_BOTH uint32_t rank_pitch() const { return quads(rank) * kQuad; }
  // Numbers in one section of a frame, and of a slab.
  LORAKEET_BOTH uint32_t section() const { return rank * (in_pitch() + out_pitch()); }
  LORAKEET_BOTH uint32_t parameters() const { return rank * (in_features + out_features); }
  LORAKEET_BOTH bool has_ewc() const { return ewc != LORAKEET_EWC_NONE; }
  LORAKEET_BOTH uint32_t sections() const { return 1 + (has_ewc() ? 2 : 0) + (adamw ? 2 : 0); }
  LORAKEET_BOTH uint64_t slab_floats() const { return static_cast<uint64_t>(sections()) * parameters(); }
};

LORAKEET_BOTH uint64_t round_up(uint64_t bytes, uint64_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

// Where the sections of a frame begin, in bytes.
struct FrameLayout {
  uint64_t fisher, anchor, moment1, moment2, counts, bytes;

  FrameLayout() = default;
  explicit FrameLayout(const Model& model) {
    const uint64_t section = model.section() * sizeof(float);
    const uint64_t state = round_up(model.section() * (model.bf16 ? sizeof(Bf16) : sizeof(float)), 16);
    fisher = section;
    anchor = fisher + (model.has_ewc() ? state : 0);
    moment1 = anchor + (model.has_ewc() ? state : 0);
    moment2 = moment1 + (model.adamw ? section : 0);
    counts = moment2 + (model.adamw ? section : 0);
    // Whole cache lines; for sizes that are powers of two the counts also keep frames from all beginning in the
    // same memory channel.
    bytes = round_up(counts + 2 * sizeof(uint32_t), 128);
  }
};

// The sections of one frame. State: float or Bf16, as the model says.
template <class State>
struct Frame {
  char* memory;
  const FrameLayout& at;

  LORAKEET_BOTH Frame(void* memory, const FrameLayout& layout) : memory(static_cast<char*>(memory)), at(layout) {
    assume_global(memory);
  }

  LORAKEET_BOTH float* weights() const { return reinterpret_cast<float*>(memory); }
  LORAKEET_BOTH State* fisher() const { return reinterpret_cast<State*>(memory + at.fisher); }
  LORAKEET_BOTH State* anchor() const { return reinterpret_cast<State*>(memory + at.anchor); }
  LORAKEET_BOTH float* moment1() const { return reinterpret_cast<float*>(memory + at.moment1); }
  LORAKEET_BOTH float* moment2() const { return reinterpret_cast<float*>(memory + at.moment2); }
  LORAKEET_BOTH uint32_t* steps() const { return reinterpret_cast<uint32_t*>(memory + at.counts); }
  LORAKEET_BOTH uint32_t* consolidations() const { return steps() + 1; }
};

// Numbers in order, from a slab to a frame and back. Number p of a frame's section:
struct Place {
  uint64_t slab;  // its number in the slab's section
  bool padding;   // or that it is none

  LORAKEET_BOTH Place(const Model& model, uint32_t p) {
    const uint32_t a = model.rank * model.in_pitch();
    const bool in_a = p < a;
    const uint32_t pitch = in_a ? model.in_pitch() : model.out_pitch(), q = in_a ? p : p - a;
    const uint32_t k = q / pitch, column = q % pitch;
    padding = column >= (in_a ? model.in_features : model.out_features);
    slab = in_a
               ? static_cast<uint64_t>(k) * model.in_features + column
               : static_cast<uint64_t>(model.rank) * model.in_features + static_cast<uint64_t>(column) * model.rank + k;
  }
};

// Calls each(section's first float of the slab, section of the frame) for every section; sections of Fisher and anchor
// are of another type than the others.
template <class State, class Float, class Each>
LORAKEET_BOTH void for_each_section(const Model& model, const Frame<State>& frame, Float* slab, Each each) {
  const uint64_t length = model.parameters();
  each(slab, frame.weights());
  slab += length;
  if (model.has_ewc()) {
    each(slab, frame.fisher());
    each(slab + length, frame.anchor());
    slab += 2 * length;
  }
  if (model.adamw) {
    each(slab, frame.moment1());
    each(slab + length, frame.moment2());
  }
}

}  // namespace lorakeet::cuda
