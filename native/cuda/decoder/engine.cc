#include "engine.h"

#include <mutex>

namespace lorakeet::cuda::decoder {
namespace {

constexpr size_t kMostIdle = 4;

// Never destroyed: when a process ends, the driver may be gone before its static objects.
struct Idle {
  std::mutex mutex;
  std::vector<std::unique_ptr<Engine>> engines;
};
Idle& idle() {
  static Idle& all = *new Idle;
  return all;
}

}  // namespace

EngineLease::EngineLease() {
  {
    const std::lock_guard<std::mutex> lock(idle().mutex);
    idle().engines.reserve(kMostIdle);
    if (!idle().engines.empty()) {
      engine_ = std::move(idle().engines.back());
      idle().engines.pop_back();
    }
  }
  if (!engine_) engine_ = std::make_unique<Engine>();
}

EngineLease::~EngineLease() {
  try {
    engine_->stream.synchronize();
  } catch (const Failure&) {
    return;  // it has been told already, and what failed is not used again
  }
  const std::lock_guard<std::mutex> lock(idle().mutex);
  if (idle().engines.size() < kMostIdle) idle().engines.push_back(std::move(engine_));
}

}  // namespace lorakeet::cuda::decoder
