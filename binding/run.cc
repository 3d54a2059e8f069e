#include "run.h"

#include <exception>

#include "modules.h"

namespace lorakeet {
namespace {

Problem out_of_memory() { return status_problem(LORAKEET_OUT_OF_MEMORY); }

// Copying indices may need memory; running out of it is an error like any other.
template <typename Body>
Problem locked(Pool& pool, Body body) {
  std::lock_guard<std::mutex> lock(pool.mutex);
  try {
    return body();
  } catch (const std::exception&) {
    return out_of_memory();
  }
}

// A JavaScript function (pool, …arguments) that returns undefined or throws.
template <size_t Count, typename Body>
napi_value call(napi_env env, napi_callback_info info, Body body) {
  napi_value argv[Count + 1];
  size_t argc = Count + 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  const std::shared_ptr<Pool> pool = find_pool(env, argv[0], &problem);
  if (pool) problem = body(*pool, argv + 1);
  if (problem) return throw_problem(env, problem);
  report_memory(env, *pool);
  return nullptr;
}

}  // namespace

Problem run_apply(Pool& pool, const ApplyArguments& arguments, const Span<float>& y) {
  return locked(pool, [&]() -> Problem {
    lorakeet_apply_batch batch{};
    if (Problem problem = check_apply(pool, arguments, &batch)) return problem;
    const size_t expected = static_cast<size_t>(batch.rows) * pool.config.out_features;
    if (Problem problem = check_length("y", y.length, expected)) return problem;
    if (batch.rows == 0) return {};
    return status_problem(pool.kernels->apply(pool.handle, &batch, y.data));
  });
}

Problem run_update(Pool& pool, const UpdateArguments& arguments, const ReportArguments& report) {
  return locked(pool, [&]() -> Problem {
    lorakeet_update_batch batch{};
    if (Problem problem = check_update(pool, arguments, &batch)) return problem;
    if (Problem problem = check_length("report.loss", report.loss.length, batch.users)) return problem;
    if (Problem problem = check_length("report.gradNorm", report.grad_norm.length, batch.users)) return problem;
    if (Problem problem = check_length("report.flags", report.flags.length, batch.users)) return problem;
    if (batch.users == 0) return {};
    const lorakeet_update_report out = {report.loss.data, report.grad_norm.data, report.flags.data};
    return status_problem(pool.kernels->update(pool.handle, &batch, &out));
  });
}

Problem run_consolidate(Pool& pool, const ConsolidateArguments& arguments) {
  return locked(pool, [&]() -> Problem {
    lorakeet_consolidate_batch batch{};
    if (Problem problem = check_consolidate(pool, arguments, &batch)) return problem;
    if (batch.users == 0) return {};
    return status_problem(pool.kernels->consolidate(pool.handle, &batch));
  });
}

// slots, x
Problem read_apply(napi_env env, const napi_value* argv, ApplyArguments* arguments) {
  if (Problem problem = read_uint32s(env, argv[0], "slots", &arguments->slots)) return problem;
  return read_rows(env, argv[1], "x", &arguments->x);
}

// slots, rowOffsets, x, target, rowWeight?, learningRate?, maxGradNorm?, ewcLambda?
Problem read_update(napi_env env, const napi_value* argv, UpdateArguments* arguments) {
  if (Problem problem = read_uint32s(env, argv[0], "slots", &arguments->slots)) return problem;
  if (Problem problem = read_uint32s(env, argv[1], "rowOffsets", &arguments->row_offsets)) return problem;
  if (Problem problem = read_rows(env, argv[2], "x", &arguments->x)) return problem;
  if (Problem problem = read_rows(env, argv[3], "target", &arguments->target)) return problem;
  if (Problem problem = read_optional_floats(env, argv[4], "rowWeight", &arguments->row_weight)) return problem;
  if (Problem problem = read_optional_floats(env, argv[5], "learningRate", &arguments->learning_rate)) return problem;
  if (Problem problem = read_optional_floats(env, argv[6], "maxGradNorm", &arguments->max_grad_norm)) return problem;
  return read_optional_floats(env, argv[7], "ewcLambda", &arguments->ewc_lambda);
}

// slots, rowOffsets, x, decay
Problem read_consolidate(napi_env env, const napi_value* argv, ConsolidateArguments* arguments) {
  if (Problem problem = read_uint32s(env, argv[0], "slots", &arguments->slots)) return problem;
  if (Problem problem = read_uint32s(env, argv[1], "rowOffsets", &arguments->row_offsets)) return problem;
  if (Problem problem = read_rows(env, argv[2], "x", &arguments->x)) return problem;
  return read_number(env, argv[3], "decay", &arguments->decay);
}

// write(pool, slots, slabs, steps)
napi_value write(napi_env env, napi_callback_info info) {
  return call<3>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    Span<const uint32_t> slots, steps;
    Span<float> slabs;
    if (Problem problem = read_uint32s(env, argv[0], "slots", &slots)) return problem;
    if (Problem problem = read_floats(env, argv[1], "slabs", &slabs)) return problem;
    if (Problem problem = read_uint32s(env, argv[2], "steps", &steps)) return problem;
    return locked(pool, [&]() -> Problem {
      if (Problem problem = check_slots(pool, "slots", slots, true, &pool.slots)) return problem;
      if (Problem problem = check_slabs(pool, constant(slabs), pool.slots.size())) return problem;
      if (Problem problem = check_length("steps", steps.length, pool.slots.size())) return problem;
      const uint32_t count = static_cast<uint32_t>(pool.slots.size());
      return status_problem(pool.kernels->write(pool.handle, pool.slots.data(), count, slabs.data, steps.data));
    });
  });
}

// read(pool, slots, slabs, steps): fills slabs and steps
napi_value read(napi_env env, napi_callback_info info) {
  return call<3>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    Span<const uint32_t> slots;
    Span<uint32_t> steps;
    Span<float> slabs;
    if (Problem problem = read_uint32s(env, argv[0], "slots", &slots)) return problem;
    if (Problem problem = read_floats(env, argv[1], "slabs", &slabs)) return problem;
    if (Problem problem = read_mutable_uint32s(env, argv[2], "steps", &steps)) return problem;
    return locked(pool, [&]() -> Problem {
      if (Problem problem = check_slots(pool, "slots", slots, false, &pool.slots)) return problem;
      const size_t count = pool.slots.size();
      if (Problem problem = check_length("slabs", slabs.length, count * pool.slab_length())) return problem;
      if (Problem problem = check_length("steps", steps.length, count)) return problem;
      return status_problem(
          pool.kernels->read(pool.handle, pool.slots.data(), static_cast<uint32_t>(count), slabs.data, steps.data));
    });
  });
}

// copy(pool, from, to)
napi_value copy(napi_env env, napi_callback_info info) {
  return call<2>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    Span<const uint32_t> from, to;
    if (Problem problem = read_uint32s(env, argv[0], "from", &from)) return problem;
    if (Problem problem = read_uint32s(env, argv[1], "to", &to)) return problem;
    return locked(pool, [&]() -> Problem {
      std::vector<uint32_t>& sources = pool.x_ids;
      if (Problem problem = check_slots(pool, "from", from, false, &sources)) return problem;
      if (Problem problem = check_slots(pool, "to", to, true, &pool.slots)) return problem;
      if (Problem problem = check_length("to", pool.slots.size(), sources.size())) return problem;
      for (size_t i = 0; i < sources.size(); i++) {  // the stamps still know every slot of `to`
        if (pool.stamps.stamped(sources[i])) {
          return {"ERR_DUPLICATE_SLOT", "from[" + std::to_string(i) + "]: got " + std::to_string(sources[i]) +
                                            ", expected a slot that is not in `to`"};
        }
      }
      const uint32_t count = static_cast<uint32_t>(sources.size());
      return status_problem(pool.kernels->copy(pool.handle, sources.data(), pool.slots.data(), count));
    });
  });
}

// clear(pool, slots)
napi_value clear(napi_env env, napi_callback_info info) {
  return call<1>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    Span<const uint32_t> slots;
    if (Problem problem = read_uint32s(env, argv[0], "slots", &slots)) return problem;
    return locked(pool, [&]() -> Problem {
      if (Problem problem = check_slots(pool, "slots", slots, false, &pool.slots)) return problem;
      const uint32_t count = static_cast<uint32_t>(pool.slots.size());
      return status_problem(pool.kernels->clear(pool.handle, pool.slots.data(), count));
    });
  });
}

// bindItems(pool, matrix | null)
napi_value bind_items(napi_env env, napi_callback_info info) {
  return call<1>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    napi_valuetype type;
    napi_typeof(env, argv[0], &type);
    Span<float> matrix;
    if (type != napi_null) {
      if (Problem problem = read_floats(env, argv[0], "matrix", &matrix)) return problem;
    }
    return locked(pool, [&]() -> Problem {
      const uint32_t features = pool.config.in_features;
      if (matrix.length % features != 0) {
        return {"ERR_LENGTH_MISMATCH", "matrix: got " + std::to_string(matrix.length) +
                                           " elements, expected a multiple of " + std::to_string(features)};
      }
      const size_t items = matrix.length / features;
      if (Problem problem = check_count("matrix", items)) return problem;
      if (Problem problem = check_finite("matrix", constant(matrix))) return problem;
      // An empty table has no memory to bind; there is simply no id below 0.
      const lorakeet_status status =
          pool.kernels->bind_items(pool.handle, items ? matrix.data : nullptr, static_cast<uint32_t>(items));
      if (status == LORAKEET_OK) {
        pool.has_items = matrix.given;
        pool.items = static_cast<uint32_t>(items);
      }
      return status_problem(status);
    });
  });
}

// firstNonFinite(values, copy?): where the first NaN or infinity is, -1 if there is none; fills copy up to there
napi_value first_non_finite(napi_env env, napi_callback_info info) {
  napi_value argv[2], result;
  size_t argc = 2;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Span<float> values;
  Span<const float> copy;
  if (Problem problem = read_floats(env, argv[0], "values", &values)) return throw_problem(env, problem);
  if (Problem problem = read_optional_floats(env, argv[1], "copy", &copy)) return throw_problem(env, problem);
  if (copy.given) {
    if (Problem problem = check_length("copy", copy.length, values.length)) return throw_problem(env, problem);
  }
  const size_t i = copy_finite(constant(values), const_cast<float*>(copy.data));
  napi_create_double(env, i == values.length ? -1 : static_cast<double>(i), &result);
  return result;
}

// misalignment(values): the bytes between a multiple of 64 and the address of `values`
napi_value misalignment(napi_env env, napi_callback_info info) {
  napi_value argv[1], result;
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Span<float> values;
  if (Problem problem = read_floats(env, argv[0], "values", &values)) return throw_problem(env, problem);
  napi_create_uint32(env, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(values.data) % 64), &result);
  return result;
}

// apply(pool, slots, x, y): fills y
napi_value apply(napi_env env, napi_callback_info info) {
  return call<3>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    ApplyArguments arguments;
    Span<float> y;
    if (Problem problem = read_apply(env, argv, &arguments)) return problem;
    if (Problem problem = read_floats(env, argv[2], "y", &y)) return problem;
    return run_apply(pool, arguments, y);
  });
}

// update(pool, slots, rowOffsets, x, target, rowWeight?, learningRate?, maxGradNorm?, ewcLambda?, loss, gradNorm,
// flags)
napi_value update(napi_env env, napi_callback_info info) {
  return call<11>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    UpdateArguments arguments;
    ReportArguments report;
    if (Problem problem = read_update(env, argv, &arguments)) return problem;
    if (Problem problem = read_floats(env, argv[8], "report.loss", &report.loss)) return problem;
    if (Problem problem = read_floats(env, argv[9], "report.gradNorm", &report.grad_norm)) return problem;
    if (Problem problem = read_bytes(env, argv[10], "report.flags", &report.flags)) return problem;
    return run_update(pool, arguments, report);
  });
}

// consolidate(pool, slots, rowOffsets, x, decay)
napi_value consolidate(napi_env env, napi_callback_info info) {
  return call<4>(env, info, [env](Pool& pool, const napi_value* argv) -> Problem {
    ConsolidateArguments arguments;
    if (Problem problem = read_consolidate(env, argv, &arguments)) return problem;
    return run_consolidate(pool, arguments);
  });
}

}  // namespace lorakeet
