// Medians by the CPU time of this thread, which other processes on the machine do not count against.
#pragma once

#include <time.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace lorakeet {

inline double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The median times of one call of each body, over `samples` samples of as many calls as take `sample_seconds`. The
// bodies take their samples in turn, so that what disturbs the machine disturbs them alike. `clock` is another one for
// bodies that work on several threads.
inline std::vector<double> median_seconds_in_turn(double sample_seconds, int samples,
                                                  const std::vector<std::function<void()>>& bodies,
                                                  double (*clock)() = thread_seconds) {
  const auto sample = [clock](const std::function<void()>& body, long calls) {
    const double start = clock();
    for (long i = 0; i < calls; i++) body();
    return clock() - start;
  };
  std::vector<long> calls;
  for (const auto& body : bodies) {
    calls.push_back(1);
    while (sample(body, calls.back()) < sample_seconds) calls.back() *= 2;
  }
  std::vector<std::vector<double>> times(bodies.size());
  for (int i = 0; i < samples; i++) {
    for (size_t b = 0; b < bodies.size(); b++) {
      bodies[b]();  // brings its own data back into the caches
      times[b].push_back(sample(bodies[b], calls[b]) / static_cast<double>(calls[b]));
    }
  }
  std::vector<double> medians;
  for (auto& list : times) {
    std::sort(list.begin(), list.end());
    medians.push_back(list[list.size() / 2]);
  }
  return medians;
}

inline double median_seconds(double sample_seconds, int samples, const std::function<void()>& body) {
  return median_seconds_in_turn(sample_seconds, samples, {body})[0];
}

}  // namespace lorakeet
