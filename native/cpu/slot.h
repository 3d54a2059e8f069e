// How a slot lies in memory, and what the kernels of one instruction set are asked to do with it.
//
// A matrix M with `rank` vectors of `features` numbers (A row by row, B column by column, so both look the same) is
// stored tile-major: [tile][rank][16], the 16 neighbouring features of every rank together. Whatever the vector width,
// dots and axpys then run along contiguous memory with one load per 16 features and rank. The last tile is padded with
// zeros, and every phase keeps the padding zero.
//
//   section = [A tiles | Bᵀ tiles]
//   slot    = weights, one section, and apart from them its state, the sections [moment1 | moment2 | fisher | anchor]
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bf16.h"

namespace lorakeet {

constexpr uint32_t kTile = 16;
// Rows are worked on in chunks of this many, so that the rows of a chunk and their errors stay in the first-level
// cache.
constexpr uint32_t kChunk = 16;

struct SlotShape {
  uint32_t rank, in_features, out_features;
  uint32_t in_tiles, out_tiles;
  size_t section;                           // numbers in one section: rank · 16 · (in_tiles + out_tiles)
  size_t loraB;                             // where Bᵀ starts within a section
  bool ewc, moments;                        // which sections a slot's state has
  bool bf16;                                // fisher and anchor are Bf16
  size_t moment1, moment2, fisher, anchor;  // where they start, in bytes
  size_t state_bytes;
};

// Where a slot's numbers are.
struct SlotData {
  float* weights;
  char* state;  // null where the shape has none
};

template <typename Number = float>
static inline Number* section_at(const SlotData& slot, size_t offset) {
  return reinterpret_cast<Number*>(slot.state + offset);
}

// What no number of a slot exceeds in magnitude. A step is taken in place, and what it overwrites is gone, so it must
// be known beforehand that it cannot overflow: bounds grow with every step by what the step can add at most, and while
// they are far from the largest float there is nothing to check number by number.
struct SlotBounds {
  float weights;  // and anchor
  float moments;
  float fisher;
};

struct Hyperparameters {
  float scaling;
  bool residual, adamw;
  uint32_t ewc;  // lorakeet_ewc
  double beta1, beta2;
  float epsilon, weight_decay;
};

// Where rows come from: a caller's dense matrix, or ids into a table whose rows are padded with zeros to whole tiles.
struct RowSource {
  const float* vectors;
  const uint32_t* ids;
  const float* table;
  uint32_t features;
};

// One thread's working memory; see buffers.h. All pieces are 64-byte aligned.
struct Scratch {
  float* rows;      // [chunk][padded in]   copies of rows whose length is no multiple of a tile
  float* targets;   // [chunk][padded out]
  float* errors;    // [chunk][padded out]
  float* hidden;    // [chunk][rank]   s·A·x
  float* weighted;  // [chunk][rank]   c·s·A·x
  float* backward;  // [chunk][rank]   c·s·Bᵀ·error
  float* gradient;  // [section]
  float* backup;    // [weights | moments]  as they were, where a step could overflow
};

// What will be updated after a slot, to be fetched meanwhile; null where there is none, where rows are ids, or where
// the step will not look at the state.
struct Upcoming {
  const float* weights;
  const char* state;
  const float *x, *target;
  uint32_t rows;
};

struct SlotUpdate {
  SlotData slot;
  Upcoming next;
  uint32_t steps_taken;
  SlotBounds bounds;  // in and out
  RowSource x, target;
  uint32_t first_row, rows;
  const float* row_weight;  // of row first_row, or null: 1
  float learning_rate, max_grad_norm, ewc_lambda;
  // results
  float loss, grad_norm;
  uint8_t flags;
};

struct SlotConsolidation {
  SlotData slot;
  RowSource x;
  uint32_t first_row, rows;
  float decay;
  uint32_t rounding_key;  // see bf16.h
};

// The kernels of one instruction set.
struct IsaKernels {
  const char* name;
  // y[i] = (residual: x[i] +) s·B·A·x[i] for `rows` rows that all belong to the slot with these weights; `next`: those
  // of the slot that comes after, or null
  void (*apply)(const SlotShape&, const Hyperparameters&, const float* weights, const float* next, const RowSource& x,
                uint32_t first_row, uint32_t rows, float* y, const Scratch&);
  // One optimizer step; the slot is written only if every new number is finite.
  void (*update)(const SlotShape&, const Hyperparameters&, SlotUpdate&, const Scratch&);
  SlotBounds (*measure)(const SlotShape&, const SlotData&);
  // False, with nothing written, if the new Fisher would not be finite. With commit = false nothing is written at all.
  bool (*consolidate)(const SlotShape&, const Hyperparameters&, const SlotConsolidation&, const Scratch&, bool commit);
};

const IsaKernels* baseline_kernels();
const IsaKernels* avx2_kernels();
const IsaKernels* avx512_kernels();
const IsaKernels* neon_kernels();

}  // namespace lorakeet
