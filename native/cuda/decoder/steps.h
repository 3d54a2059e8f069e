// The steps of a layer (native/decoder/layers.h) on the device.
#pragma once

#include "../../decoder/layers.h"
#include "products.h"

namespace lorakeet::cuda::decoder {

// What attention's backward has of the forward.
struct BackwardTiles {
  AttentionShape shape;
  const QueryTile* queries;
  const KeyTile* keys;
  size_t query_tiles, key_tiles;
  float* along;
};

struct DeviceSteps {
  const Run& run;
  // Of a backward only: the targets, where their gradients go (as the adapter's parameters lie), the tiles of
  // the batch, and working memory [rows × the largest rank].
  const DecoderAdapter* adapter = nullptr;
  float* gradient = nullptr;
  const BackwardTiles* tiles = nullptr;
  float* back = nullptr;

  void normalize(const float* x, const float* weight, float* y) const;
  void normalize_back(const float* x, const float* weight, const float* dy, float* d) const;
  void project(uint32_t layer, const float* x, const ModuleOutput* outputs, size_t count, bool add) const;
  void project_back(uint32_t layer, uint32_t module, const float* x, const float* dy, float* d, bool add) const;
  void place_heads(size_t heads, const float* norm, const float* plain, float* x) const;
  void place_heads_back(size_t heads, const float* norm, const float* plain, float* d) const;
  void attend_back(const LayerState& state, const float* d_attended, float* dq, float* dk, float* dv) const;
  void swiglu(const float* gate, const float* up, float* product) const;
  void swiglu_back(const float* gate, const float* up, float* d_gate, float* d_up) const;
  void copy(const float* from, float* to) const;

 private:
  void turn(size_t heads, bool back, float* x) const;
};

}  // namespace lorakeet::cuda::decoder
