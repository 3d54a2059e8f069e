// The asynchronous operations: arguments are copied on the main thread, as JavaScript may detach or change its arrays
// while we work (rows in shared memory, which it cannot detach, are only kept). The kernel runs on one of Node's worker
// threads, and results become fresh arrays when it is done.

#include <cstring>
#include <exception>

#include "modules.h"
#include "run.h"
#include "task.h"

namespace lorakeet {
namespace {

template <typename T>
std::vector<T> copied(Span<const T>* span) {
  std::vector<T> copy(span->data, span->data + span->length);
  span->data = copy.data();  // moving a vector keeps its buffer where it is
  return copy;
}

template <typename T>
Span<T> span_of(std::vector<T>* values) {
  return {values->data(), values->size(), true};
}

// Whether the array lies in a SharedArrayBuffer, whose memory JavaScript cannot take away while something refers to it.
bool is_shared(napi_env env, napi_value array) {
  napi_value buffer;
  bool detachable = true;
  return napi_get_typedarray_info(env, array, nullptr, nullptr, nullptr, &buffer, nullptr) == napi_ok &&
         napi_is_arraybuffer(env, buffer, &detachable) == napi_ok && !detachable;
}

// Keeps the arguments until the task is done: copies, into which the spans then point, or for rows in shared memory,
// which may be large, a reference. Made and destroyed on the environment's own thread.
class Kept {
 public:
  ~Kept() {
    for (const napi_ref reference : references_) napi_delete_reference(env_, reference);
  }

  void keep(Span<const float>* span) {
    if (span->given) floats_.push_back(copied(span));
  }
  void keep(Span<const uint32_t>* span) {
    if (span->given) integers_.push_back(copied(span));
  }
  void keep(napi_env env, napi_value array, RowsArgument* rows) {
    if (rows->vectors.given && is_shared(env, array)) {
      env_ = env;
      references_.reserve(references_.size() + 1);
      napi_ref reference;
      if (napi_create_reference(env, array, 1, &reference) == napi_ok) {
        references_.push_back(reference);
        return;
      }
    }
    keep(&rows->vectors);
    keep(&rows->ids);
  }

 private:
  napi_env env_ = nullptr;
  std::vector<napi_ref> references_;
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<uint32_t>> integers_;
};

// A call on a pool.
class PoolTask : public Task {
 public:
  virtual Problem read(napi_env env, const napi_value* argv) = 0;
  napi_value result(napi_env env) final {
    report_memory(env, *pool);
    return make_result(env);
  }

  std::shared_ptr<Pool> pool;

 protected:
  virtual napi_value make_result(napi_env env) = 0;

  Kept kept_;
};

class ApplyTask : public PoolTask {
 public:
  Problem read(napi_env env, const napi_value* argv) override {
    if (Problem problem = read_apply(env, argv, &arguments_)) return problem;
    kept_.keep(&arguments_.slots);
    kept_.keep(env, argv[1], &arguments_.x);
    y_.resize(arguments_.slots.length * pool->config.out_features);
    return {};
  }
  void run() override { problem = run_apply(*pool, arguments_, span_of(&y_)); }
  napi_value make_result(napi_env env) override { return typed_array(env, napi_float32_array, y_); }

 private:
  ApplyArguments arguments_;
  std::vector<float> y_;
};

class UpdateTask : public PoolTask {
 public:
  Problem read(napi_env env, const napi_value* argv) override {
    if (Problem problem = read_update(env, argv, &arguments_)) return problem;
    kept_.keep(&arguments_.slots);
    kept_.keep(&arguments_.row_offsets);
    kept_.keep(env, argv[2], &arguments_.x);
    kept_.keep(env, argv[3], &arguments_.target);
    kept_.keep(&arguments_.row_weight);
    kept_.keep(&arguments_.learning_rate);
    kept_.keep(&arguments_.max_grad_norm);
    kept_.keep(&arguments_.ewc_lambda);
    loss_.resize(arguments_.slots.length);
    grad_norm_.resize(arguments_.slots.length);
    flags_.resize(arguments_.slots.length);
    return {};
  }
  void run() override {
    problem = run_update(*pool, arguments_, {span_of(&loss_), span_of(&grad_norm_), span_of(&flags_)});
  }
  napi_value make_result(napi_env env) override {
    napi_value report;
    napi_create_object(env, &report);
    napi_set_named_property(env, report, "loss", typed_array(env, napi_float32_array, loss_));
    napi_set_named_property(env, report, "gradNorm", typed_array(env, napi_float32_array, grad_norm_));
    napi_set_named_property(env, report, "flags", typed_array(env, napi_uint8_array, flags_));
    return report;
  }

 private:
  UpdateArguments arguments_;
  std::vector<float> loss_, grad_norm_;
  std::vector<uint8_t> flags_;
};

class ConsolidateTask : public PoolTask {
 public:
  Problem read(napi_env env, const napi_value* argv) override {
    if (Problem problem = read_consolidate(env, argv, &arguments_)) return problem;
    kept_.keep(&arguments_.slots);
    kept_.keep(&arguments_.row_offsets);
    kept_.keep(env, argv[2], &arguments_.x);
    return {};
  }
  void run() override { problem = run_consolidate(*pool, arguments_); }
  napi_value make_result(napi_env env) override { return undefined(env); }

 private:
  ConsolidateArguments arguments_;
};

template <typename TaskType, size_t Count>
napi_value start(napi_env env, napi_callback_info info, const char* name) {
  napi_value argv[Count + 1];
  size_t argc = Count + 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  auto task = std::make_unique<TaskType>();
  Problem problem;
  task->pool = find_pool(env, argv[0], &problem);
  if (!task->pool) return throw_problem(env, problem);
  try {
    problem = task->read(env, argv + 1);
  } catch (const std::exception&) {  // no memory, or a length no memory has
    problem = status_problem(LORAKEET_OUT_OF_MEMORY);
  }
  if (problem) return throw_problem(env, problem);

  return start_task(env, std::move(task), name);
}

}  // namespace

napi_value apply_async(napi_env env, napi_callback_info info) {
  return start<ApplyTask, 2>(env, info, "lorakeet.apply");
}

napi_value update_async(napi_env env, napi_callback_info info) {
  return start<UpdateTask, 8>(env, info, "lorakeet.update");
}

napi_value consolidate_async(napi_env env, napi_callback_info info) {
  return start<ConsolidateTask, 4>(env, info, "lorakeet.consolidate");
}

}  // namespace lorakeet
