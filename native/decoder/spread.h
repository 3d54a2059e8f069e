// Loops over rows on several threads.
#pragma once

#include <atomic>
#include <functional>

#include "../cpu/crew.h"

namespace lorakeet {

// Calls job(worker, first, last) for pieces of [0, count) of at most `grain` items, worker < threads. Which worker has
// which piece is left to chance, so no result may depend on it. Does not allocate.
template <typename Job>
void spread(uint32_t threads, size_t count, size_t grain, const Job& job) {
  const size_t pieces = (count + grain - 1) / grain;
  if (pieces == 0) return;
  if (pieces == 1 || threads == 1) return job(0u, size_t{0}, count);
  std::atomic<size_t> next{0};
  const auto work = [&](uint32_t worker) {
    for (size_t piece; (piece = next.fetch_add(1)) < pieces;) {
      const size_t first = piece * grain;
      job(worker, first, first + grain < count ? first + grain : count);
    }
  };
  // by reference: a std::function of the closure itself would have to be allocated
  run_crew(pieces < threads ? static_cast<uint32_t>(pieces) : threads, std::cref(work));
}

// Rows of `numbers` numbers each that are worth a thread's while at a time.
inline size_t row_grain(size_t numbers) { return 16384 / (numbers ? numbers : 1) + 1; }

// job(row) for every row, on the rows' own account: passes over rows of `numbers` numbers.
template <typename Job>
void for_rows(uint32_t threads, size_t rows, size_t numbers, const Job& job) {
  spread(threads, rows, row_grain(numbers), [&](uint32_t, size_t first, size_t last) {
    for (size_t row = first; row < last; row++) job(row);
  });
}

}  // namespace lorakeet
