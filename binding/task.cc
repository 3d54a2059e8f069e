#include "task.h"

#include <exception>

#include "modules.h"

namespace lorakeet {

void Task::execute(napi_env, void* data) {
  Task* const task = static_cast<Task*>(data);
  try {
    task->run();
  } catch (const std::exception&) {  // no memory, or a length no memory has
    task->problem = status_problem(LORAKEET_OUT_OF_MEMORY);
  }
}

void Task::complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  napi_delete_async_work(env, task->work_);
  if (status != napi_ok && !task->problem) {
    task->problem = {"ERR_BACKEND_FAILURE", "The call was cancelled before it ran"};
  }
  napi_value result = task->problem ? nullptr : task->result(env);
  if (result) {
    napi_resolve_deferred(env, task->deferred_, result);
    return;
  }
  if (!task->problem) task->problem = status_problem(LORAKEET_OUT_OF_MEMORY);
  napi_value exception;
  napi_get_and_clear_last_exception(env, &exception);
  napi_reject_deferred(env, task->deferred_, make_error(env, task->problem));
}

napi_value start_task(napi_env env, std::unique_ptr<Task> task, const char* name) {
  napi_value promise, resource;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
  if (napi_create_promise(env, &task->deferred_, &promise) != napi_ok ||
      napi_create_async_work(env, nullptr, resource, Task::execute, Task::complete, task.get(), &task->work_) !=
          napi_ok ||
      napi_queue_async_work(env, task->work_) != napi_ok) {
    return throw_problem(env, {"ERR_BACKEND_FAILURE", std::string(name) + ": the call could not be queued"});
  }
  task.release();  // complete() owns it now
  return promise;
}

}  // namespace lorakeet
