// The process's helper threads, shared by all pools so that many pools never start more threads than one needs.
#pragma once

#include <stdint.h>

#include <functional>

namespace lorakeet {

// Runs task(0) … task(n−1) at the same time, n ≤ max_workers, and returns when all have returned. The caller is worker
// 0; it works alone when the crew is busy with another pool's call or no thread can be started, so task(0) must be able
// to do everything. Tasks must not throw.
void run_crew(uint32_t max_workers, const std::function<void(uint32_t worker)>& task);

}  // namespace lorakeet
