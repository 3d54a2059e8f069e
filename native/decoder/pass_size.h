// What the memory of a pass depends on.
#pragma once

#include <algorithm>

#include "targets.h"

namespace lorakeet {

struct PassSize {
  size_t tokens, sequences, targets;
  size_t longest;  // sequence, or more
  bool backward;   // something is kept for a backward
  bool recompute, dropout;
};

// `targets`: of the adapter, or null.
inline PassSize pass_size(const lorakeet_token_batch& batch, const lorakeet_forward_options& options,
                          const Targets* targets) {
  PassSize size{};
  size.sequences = batch.sequences;
  size.tokens = batch.offsets[batch.sequences];
  size.targets = batch.targets;
  for (uint32_t s = 0; s < batch.sequences; s++) {
    size.longest = std::max(size.longest, size_t{batch.offsets[s + 1]} - batch.offsets[s]);
  }
  size.backward = options.keep && targets && targets->parameters() > 0;
  size.recompute = size.backward && options.recompute;
  size.dropout = options.dropout > 0 && targets;
  return size;
}

}  // namespace lorakeet
