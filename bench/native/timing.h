// Medians by the CPU time of this thread, which other processes on the machine do not count against.
#pragma once

#include <time.h>

#include <algorithm>
#include <vector>

namespace lorakeet {

inline double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The median time of one `body()`, over `samples` samples of as many repetitions as take `sample_seconds`.
template <typename Body>
double median_seconds(double sample_seconds, int samples, const Body& body) {
  long repetitions = 1;
  const auto sample = [&] {
    const double start = thread_seconds();
    for (long i = 0; i < repetitions; i++) body();
    return thread_seconds() - start;
  };
  while (sample() < sample_seconds) repetitions *= 2;
  std::vector<double> times;
  for (int i = 0; i < samples; i++) times.push_back(sample() / static_cast<double>(repetitions));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace lorakeet
