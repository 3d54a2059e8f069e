#include "crew.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace lorakeet {
namespace {

// Tells the processor that this thread only waits.
inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  asm volatile("yield");
#endif
}

// Waits for `ready` without going to sleep, for about as long as going to sleep and being woken takes; false if that
// was not enough.
// Whoever else wants the core gets it: that may be the very thread that is waited for.
template <typename Ready>
bool spin_until(const Ready& ready) {
  constexpr std::chrono::microseconds kLongest{50};
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < kLongest);
  return false;
}

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
      task_ = &task;
      generation_++;
    }
    start_.notify_all();
    task(0);
    {
      // everything has been begun: a helper whom the system has not let run so far is not waited for
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = nullptr;
    }
    const auto all_done = [this] { return running_ == 0; };
    if (spin_until(all_done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, all_done);
  }

 private:
  void hire(uint32_t wanted) {
    while (members_ < wanted) {
      try {
        std::thread(&Crew::work, this, members_ + 1, generation_.load()).detach();
      } catch (const std::system_error&) {
        return;  // fewer threads than asked for change the speed, not the result
      }
      members_++;
    }
  }

  void work(uint32_t worker, uint64_t seen) {
    const auto called = [&] { return generation_ != seen; };
    bool was_of_use = false;
    for (;;) {
      // Calls often come one after another: the next may be here before this thread has fallen asleep. One that came
      // too late for the last call shares its core with others, and would only take time from them.
      const bool awake = was_of_use && spin_until(called);
      std::unique_lock<std::mutex> lock(mutex_);
      if (!awake) start_.wait(lock, called);
      seen = generation_;
      const std::function<void(uint32_t)>* task = task_;
      was_of_use = task && worker <= helpers_;
      if (!was_of_use) continue;
      running_++;
      lock.unlock();
      (*task)(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex in_use_;  // held for the length of one run
  std::mutex mutex_;   // guards the changes of everything below
  std::condition_variable start_, done_;
  const std::function<void(uint32_t)>* task_ = nullptr;  // null once there is nothing left to begin
  uint32_t members_ = 0, helpers_ = 0;
  // Watched by threads that wait without the mutex, each in a cache line of its own.
  alignas(64) std::atomic<uint64_t> generation_{0};
  alignas(64) std::atomic<uint32_t> running_{0};
};

// Never destroyed: its threads sleep in it until the process ends, also while static objects are being torn down.
Crew& crew() {
  static Crew* instance = new Crew;
  return *instance;
}

}  // namespace

void run_crew(uint32_t max_workers, const std::function<void(uint32_t)>& task) { crew().run(max_workers, task); }

}  // namespace lorakeet
