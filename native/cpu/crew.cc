#include "crew.h"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace lorakeet {
namespace {

class Crew {
 public:
  void run(uint32_t max_workers, const std::function<void(uint32_t)>& task) {
    std::unique_lock<std::mutex> ours(in_use_, std::try_to_lock);
    if (!ours.owns_lock() || max_workers < 2) {
      task(0);
      return;
    }
    hire(max_workers - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      helpers_ = members_ < max_workers - 1 ? members_ : max_workers - 1;
      running_ = helpers_;
      task_ = &task;
      generation_++;
    }
    start_.notify_all();
    task(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    task_ = nullptr;
  }

 private:
  void hire(uint32_t wanted) {
    while (members_ < wanted) {
      try {
        std::thread(&Crew::work, this, members_ + 1, generation_).detach();
      } catch (const std::system_error&) {
        return;  // fewer threads than asked for change the speed, not the result
      }
      members_++;
    }
  }

  void work(uint32_t worker, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      start_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (worker > helpers_) continue;
      const std::function<void(uint32_t)>* task = task_;
      lock.unlock();
      (*task)(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex in_use_;  // held for the length of one run
  std::mutex mutex_;   // guards everything below
  std::condition_variable start_, done_;
  const std::function<void(uint32_t)>* task_ = nullptr;
  uint64_t generation_ = 0;
  uint32_t members_ = 0, helpers_ = 0, running_ = 0;
};

// Never destroyed: its threads sleep in it until the process ends, also while static objects are being torn down.
Crew& crew() {
  static Crew* instance = new Crew;
  return *instance;
}

}  // namespace

void run_crew(uint32_t max_workers, const std::function<void(uint32_t)>& task) { crew().run(max_workers, task); }

}  // namespace lorakeet
