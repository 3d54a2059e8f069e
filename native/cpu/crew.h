// The process's helper threads, shared by all pools so that many pools never start more threads than one needs.
#pragma once

#include <stdint.h>

#include <functional>

namespace lorakeet {

// Runs task(0) and, at the same time, up to max_workers − 1 of task(1) … task(max_workers − 1), and returns when all
// that were begun have returned. The caller is worker 0. Others may come late or not at all (another pool's call has
// them, the system has no core for them), so every worker must be able to do everything, and task(0) must not return
// before everything has been begun. Tasks must not throw.
void run_crew(uint32_t max_workers, const std::function<void(uint32_t worker)>& task);

}  // namespace lorakeet
