// The checks that stand between JavaScript's arrays and native memory. Pure C++: they run on whichever thread does the
// work, under the pool's mutex, on copies of the indices that nobody else can change.
//
// Error codes and their order are those of src/kernels/validate.ts; the conformance suite holds the two together.
#pragma once

#include "arguments.h"
#include "lorakeet/kernels.h"
#include "pools.h"

namespace lorakeet {

struct ApplyArguments {
  Span<const uint32_t> slots;
  RowsArgument x;
};

struct UpdateArguments {
  Span<const uint32_t> slots, row_offsets;
  RowsArgument x, target;
  Span<const float> row_weight, learning_rate, max_grad_norm, ewc_lambda;
};

struct ConsolidateArguments {
  Span<const uint32_t> slots, row_offsets;
  RowsArgument x;
  double decay = 1;
};

// Copies `slots` to `copy` and checks range and, if asked, that none stands twice.
Problem check_slots(Pool& pool, const char* name, const Span<const uint32_t>& slots, bool distinct,
                    std::vector<uint32_t>* copy);
Problem check_slabs(const Pool& pool, const Span<const float>& slabs, size_t slots);
Problem check_length(const char* name, size_t length, size_t expected);
// Row and slot counts are 32 bits wide in the kernels.
Problem check_count(const char* name, size_t count);
// Where the first NaN or infinity is; the length if there is none. The numbers before it go to `copy` unless that is
// null.
size_t copy_finite(const Span<const float>& values, float* copy);
Problem check_finite(const char* name, const Span<const float>& values);

// These fill the batch with pointers into the pool's own copies (indices) and the caller's arrays (numbers).
Problem check_apply(Pool& pool, const ApplyArguments& arguments, lorakeet_apply_batch* batch);
Problem check_update(Pool& pool, const UpdateArguments& arguments, lorakeet_update_batch* batch);
Problem check_consolidate(Pool& pool, const ConsolidateArguments& arguments, lorakeet_consolidate_batch* batch);

}  // namespace lorakeet
