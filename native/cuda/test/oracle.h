// The contract's mathematics in double precision and plain loops: what the kernels are held against. It shares no code
// with them. One slot at a time; slabs as in kernels.h, but of doubles.
#pragma once

#include <stdint.h>

#include <vector>

#include "lorakeet/kernels.h"

struct OracleSlot {
  std::vector<double> slab;
  uint32_t steps = 0;
};

struct OracleStep {
  double learning_rate, max_grad_norm, ewc_lambda;
};

struct OracleReport {
  double loss, grad_norm;
  uint32_t flags;
};

// y [out] of the row x [in]
std::vector<double> oracle_apply(const lorakeet_pool_config& config, const OracleSlot& slot, const float* x);

// One step on rows x[i] [in] with targets t[i] [out] and weights w[i].
OracleReport oracle_update(const lorakeet_pool_config& config, OracleSlot& slot, const std::vector<const float*>& x,
                           const std::vector<const float*>& t, const std::vector<double>& w, const OracleStep& step);

void oracle_consolidate(const lorakeet_pool_config& config, OracleSlot& slot, const std::vector<const float*>& x,
                        double decay);
