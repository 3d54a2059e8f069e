// What the kernels are handed: plain structs of device pointers, filled by pool.cc and passed by value at launch.
#pragma once

#include <stdint.h>

#include "block.h"

namespace lorakeet::cuda {

// Rows of one slot are worked on in chunks of this many, whatever their number: working memory stays bounded.
constexpr uint32_t kChunk = 16;

// The pool's shape and its settings that never differ between slots.
struct Model {
  uint32_t rank, in_features, out_features;
  uint32_t residual;  // 0 or 1
  uint32_t adamw;     // 0 or 1
  uint32_t ewc;       // lorakeet_ewc
  float scaling, weight_decay, epsilon;
  float beta1, beta2, beta1_rest, beta2_rest;  // rest: 1 − β, rounded once
  float log_beta1, log_beta2;

  LORAKEET_BOTH uint32_t loraA_length() const { return rank * in_features; }
  // Numbers in one section of a slab.
  LORAKEET_BOTH uint32_t parameters() const { return rank * (in_features + out_features); }
};

// One slot: its slab, laid out as in kernels.h, and its count of optimizer steps.
struct Slot {
  float* slab;
  uint32_t* steps;
};

struct Rows {
  const float* base;    // the caller's vectors, or the item table
  const uint32_t* ids;  // null: row i is vector i
  uint32_t features;

  LORAKEET_DEVICE const float* operator[](uint32_t i) const {
    return base + static_cast<uint64_t>(ids ? ids[i] : i) * features;
  }
};

struct ApplyBatch {
  Model model;
  uint32_t rows;
  const Slot* slots;  // [rows]
  Rows x;
  float* y;  // [rows × out]
};

struct UpdateBatch {
  Model model;
  uint32_t users;
  const Slot* slots;            // [users]
  const uint32_t* row_offsets;  // [users + 1]
  Rows x, target;
  const float* row_weight;  // [rows] or null: 1
  // [users], or null: the default beside it
  const float *learning_rate, *max_grad_norm, *ewc_lambda;
  float default_learning_rate, default_max_grad_norm, default_ewc_lambda;
  float *loss, *grad_norm;  // [users]
  uint32_t* flags;          // [users]
  float* scratch;           // update_scratch_floats for every block of the grid
};

struct ConsolidateBatch {
  Model model;
  uint32_t users;
  const Slot* slots;
  const uint32_t* row_offsets;
  Rows x;
  float decay;
  uint32_t commit;  // 0: only look; 1: store
  uint32_t*
      not_finite;  // [users], written when commit = 0: whether the new Fisher would hold a number that is not finite
  float* scratch;  // consolidate_scratch_floats for every block of the grid
};

}  // namespace lorakeet::cuda
