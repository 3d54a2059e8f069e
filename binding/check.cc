#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace lorakeet {
namespace {

std::string at(const char* name, size_t index) { return std::string(name) + "[" + std::to_string(index) + "]"; }

// NaN and the infinities are the numbers whose exponent bits are all set.
bool is_non_finite(float value) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return (bits & kExponent) == kExponent;
}

// Where the first number that is `bad` stands; `length` if there is none.
template <typename Bad>
size_t find_first(const float* values, size_t length, Bad bad) {
  constexpr size_t kBlock = 256;
  size_t i = 0;
  // Whole blocks without a branch, which compilers turn into vector instructions, up to one with something in it.
  for (; i + kBlock <= length; i += kBlock) {
    uint32_t found = 0;
    for (size_t j = i; j < i + kBlock; j++) found |= bad(values[j]);
    if (found) break;
  }
  while (i < length && !bad(values[i])) i++;
  return i;
}

// CSR offsets from 0, strictly rising.
Problem check_row_offsets(Pool& pool, const Span<const uint32_t>& offsets, size_t users) {
  if (Problem problem = check_length("rowOffsets", offsets.length, users + 1)) return problem;
  pool.row_offsets.assign(offsets.data, offsets.data + offsets.length);
  const std::vector<uint32_t>& copy = pool.row_offsets;
  if (copy[0] != 0) {
    return {"ERR_ROW_OFFSETS", "rowOffsets[0]: got " + std::to_string(copy[0]) + ", expected 0"};
  }
  for (size_t u = 1; u < copy.size(); u++) {
    if (copy[u] <= copy[u - 1]) {
      return {"ERR_ROW_OFFSETS", at("rowOffsets", u) + ": got " + std::to_string(copy[u]) + ", expected more than " +
                                     std::to_string(copy[u - 1])};
    }
  }
  return {};
}

// Counts the rows of a dense matrix or a list of ids, and copies and checks the ids.
Problem check_rows(Pool& pool, const char* name, const RowsArgument& rows, uint32_t features,
                   std::vector<uint32_t>* ids, lorakeet_rows* out, size_t* count) {
  if (rows.vectors.given) {
    if (rows.vectors.length % features != 0) {
      return {"ERR_LENGTH_MISMATCH", std::string(name) + ": got " + std::to_string(rows.vectors.length) +
                                         " elements, expected a multiple of " + std::to_string(features)};
    }
    out->vectors = rows.vectors.data;
    *count = rows.vectors.length / features;
    return check_count(name, *count);
  }
  if (!pool.has_items) {
    return {"ERR_NO_ITEMS", std::string(name) + ": got item ids, expected rows because no item table is bound"};
  }
  if (features != pool.config.in_features) {
    return {"ERR_INVALID_ARGUMENT", std::string(name) + ": got item ids, expected rows because items have " +
                                        std::to_string(pool.config.in_features) + " features, not " +
                                        std::to_string(features)};
  }
  if (Problem problem = check_count(name, rows.ids.length)) return problem;
  ids->assign(rows.ids.data, rows.ids.data + rows.ids.length);
  for (size_t i = 0; i < ids->size(); i++) {
    if ((*ids)[i] >= pool.items) {
      return {"ERR_ITEM_OUT_OF_RANGE", at(name, i) + ": got " + std::to_string((*ids)[i]) +
                                           ", expected an item below " + std::to_string(pool.items)};
    }
  }
  out->ids = ids->data();
  *count = ids->size();
  return {};
}

// Slots, offsets and x, as update and consolidate share them.
Problem check_slot_rows(Pool& pool, const Span<const uint32_t>& slots, const Span<const uint32_t>& offsets,
                        const RowsArgument& x, lorakeet_rows* out, size_t* rows) {
  if (Problem problem = check_slots(pool, "slots", slots, true, &pool.slots)) return problem;
  if (Problem problem = check_row_offsets(pool, offsets, pool.slots.size())) return problem;
  if (Problem problem = check_rows(pool, "x", x, pool.config.in_features, &pool.x_ids, out, rows)) return problem;
  if (pool.row_offsets.back() != *rows) {
    return {"ERR_ROW_OFFSETS", at("rowOffsets", pool.slots.size()) + ": got " +
                                   std::to_string(pool.row_offsets.back()) + ", expected the number of rows in x, " +
                                   std::to_string(*rows)};
  }
  return {};
}

Problem check_each(const char* name, const Span<const float>& values, size_t expected, bool above_zero, bool infinity) {
  if (!values.given) return {};
  if (Problem problem = check_length(name, values.length, expected)) return problem;
  for (size_t i = 0; i < values.length; i++) {
    const float value = values.data[i];
    if (std::isnan(value) || (value == std::numeric_limits<float>::infinity() && !infinity)) {
      return {"ERR_NOT_FINITE", at(name, i) + ": got " + std::to_string(value) + ", expected a finite number"};
    }
    if (above_zero ? value <= 0 : value < 0) {
      return {"ERR_OUT_OF_RANGE", at(name, i) + ": got " + std::to_string(value) + ", expected a number " +
                                      (above_zero ? "above 0" : "at least 0")};
    }
  }
  return {};
}

}  // namespace

Problem check_length(const char* name, size_t length, size_t expected) {
  if (length == expected) return {};
  return {"ERR_LENGTH_MISMATCH",
          std::string(name) + ": got " + std::to_string(length) + " elements, expected " + std::to_string(expected)};
}

Problem check_count(const char* name, size_t count) {
  if (count <= std::numeric_limits<uint32_t>::max() - 1) return {};
  return {"ERR_OUT_OF_RANGE",
          std::string(name) + ": got " + std::to_string(count) + " elements, expected fewer than 2^32-1"};
}

size_t copy_finite(const Span<const float>& values, float* copy) {
  // Pieces that stay in the first-level cache from the check to the copy.
  constexpr size_t kPiece = 2048;
  for (size_t at = 0; at < values.length; at += kPiece) {
    const size_t length = std::min(kPiece, values.length - at);
    const size_t finite = find_first(values.data + at, length, is_non_finite);
    if (copy) memmove(copy + at, values.data + at, finite * sizeof(float));
    if (finite < length) return at + finite;
  }
  return values.length;
}

Problem check_finite(const char* name, const Span<const float>& values) {
  const size_t i = copy_finite(values, nullptr);
  if (i == values.length) return {};
  return {"ERR_NOT_FINITE", at(name, i) + ": got " + std::to_string(values.data[i]) + ", expected a finite number"};
}

Problem check_slots(Pool& pool, const char* name, const Span<const uint32_t>& slots, bool distinct,
                    std::vector<uint32_t>* copy) {
  if (Problem problem = check_count(name, slots.length)) return problem;
  copy->assign(slots.data, slots.data + slots.length);
  if (distinct) pool.stamps.begin();
  for (size_t i = 0; i < copy->size(); i++) {
    const uint32_t slot = (*copy)[i];
    if (slot >= pool.config.capacity) {
      return {"ERR_SLOT_OUT_OF_RANGE", at(name, i) + ": got " + std::to_string(slot) + ", expected a slot below " +
                                           std::to_string(pool.config.capacity)};
    }
    if (distinct && !pool.stamps.stamp(slot)) {
      return {"ERR_DUPLICATE_SLOT",
              at(name, i) + ": got " + std::to_string(slot) + " a second time, expected every slot only once"};
    }
  }
  return {};
}

Problem check_slabs(const Pool& pool, const Span<const float>& slabs, size_t slots) {
  const size_t length = pool.slab_length();
  if (Problem problem = check_length("slabs", slabs.length, slots * length)) return problem;
  if (Problem problem = check_finite("slabs", slabs)) return problem;
  const size_t section = static_cast<size_t>(pool.config.rank) * (pool.config.in_features + pool.config.out_features);
  const bool ewc = pool.config.ewc != LORAKEET_EWC_NONE;
  const bool moments = pool.config.optimizer == LORAKEET_ADAMW;
  // fisher is the second section; the second moment is the last
  const size_t starts[2] = {section, length - section};
  const bool present[2] = {ewc, moments};
  for (size_t slot = 0; slot < slots; slot++) {
    for (int part = 0; part < 2; part++) {
      if (!present[part]) continue;
      const size_t first = slot * length + starts[part];
      const size_t i = find_first(slabs.data + first, section, [](float value) { return value < 0; });
      if (i == section) continue;
      return {"ERR_OUT_OF_RANGE", at("slabs", first + i) + " (" + (part ? "moment2" : "fisher") + "): got " +
                                      std::to_string(slabs.data[first + i]) + ", expected a number at least 0"};
    }
  }
  return {};
}

Problem check_apply(Pool& pool, const ApplyArguments& arguments, lorakeet_apply_batch* batch) {
  if (Problem problem = check_slots(pool, "slots", arguments.slots, false, &pool.slots)) return problem;
  size_t rows = 0;
  if (Problem problem = check_rows(pool, "x", arguments.x, pool.config.in_features, &pool.x_ids, &batch->x, &rows)) {
    return problem;
  }
  if (Problem problem = check_length("x (rows)", rows, pool.slots.size())) return problem;
  batch->rows = static_cast<uint32_t>(rows);
  batch->slots = pool.slots.data();
  return {};
}

Problem check_update(Pool& pool, const UpdateArguments& arguments, lorakeet_update_batch* batch) {
  const lorakeet_pool_config& config = pool.config;
  size_t rows = 0, targets = 0;
  if (Problem problem = check_slot_rows(pool, arguments.slots, arguments.row_offsets, arguments.x, &batch->x, &rows)) {
    return problem;
  }
  if (Problem problem = check_rows(pool, "target", arguments.target, config.out_features, &pool.target_ids,
                                   &batch->target, &targets)) {
    return problem;
  }
  if (Problem problem = check_length("target (rows)", targets, rows)) return problem;
  if (arguments.ewc_lambda.given && config.ewc == LORAKEET_EWC_NONE) {
    return {"ERR_INVALID_ARGUMENT", "ewcLambda: got values, expected none because the pool has no EWC"};
  }
  const size_t users = pool.slots.size();
  if (Problem problem = check_each("rowWeight", arguments.row_weight, rows, false, false)) return problem;
  if (Problem problem = check_each("learningRate", arguments.learning_rate, users, false, false)) return problem;
  if (Problem problem = check_each("maxGradNorm", arguments.max_grad_norm, users, true, true)) return problem;
  if (Problem problem = check_each("ewcLambda", arguments.ewc_lambda, users, false, false)) return problem;
  batch->users = static_cast<uint32_t>(users);
  batch->slots = pool.slots.data();
  batch->row_offsets = pool.row_offsets.data();
  batch->row_weight = arguments.row_weight.data;
  batch->learning_rate = arguments.learning_rate.data;
  batch->max_grad_norm = arguments.max_grad_norm.data;
  batch->ewc_lambda = arguments.ewc_lambda.data;
  return {};
}

Problem check_consolidate(Pool& pool, const ConsolidateArguments& arguments, lorakeet_consolidate_batch* batch) {
  if (pool.config.ewc == LORAKEET_EWC_NONE) {
    return {"ERR_INVALID_ARGUMENT", "consolidate: got a pool without EWC, expected one with EWC"};
  }
  if (!std::isfinite(arguments.decay)) {
    return {"ERR_NOT_FINITE", "decay: got " + std::to_string(arguments.decay) + ", expected a number from 0 to 1"};
  }
  if (arguments.decay < 0 || arguments.decay > 1) {
    return {"ERR_OUT_OF_RANGE", "decay: got " + std::to_string(arguments.decay) + ", expected a number from 0 to 1"};
  }
  size_t rows = 0;
  if (Problem problem = check_slot_rows(pool, arguments.slots, arguments.row_offsets, arguments.x, &batch->x, &rows)) {
    return problem;
  }
  batch->users = static_cast<uint32_t>(pool.slots.size());
  batch->slots = pool.slots.data();
  batch->row_offsets = pool.row_offsets.data();
  batch->decay = arguments.decay;
  return {};
}

}  // namespace lorakeet
