#include "lane.h"

#include <string.h>

#include <algorithm>
#include <atomic>

#include "../cpu/crew.h"

namespace lorakeet::cuda {
namespace {

// Copying less than this is quicker than waking a thread for it.
constexpr uint64_t kBytesPerThread = 1 << 20;

}  // namespace

void copy_rows(void* to, uint64_t to_pitch, const void* from, uint64_t from_pitch, uint64_t width, uint64_t rows,
               uint32_t threads) {
  char* target = static_cast<char*>(to);
  const char* source = static_cast<const char*>(from);
  const uint64_t bytes = rows * width;
  const uint32_t workers = static_cast<uint32_t>(std::min<uint64_t>(threads, bytes / kBytesPerThread + 1));
  if (to_pitch == width && from_pitch == width) {
    // One piece. Whoever comes takes the next part: how many threads there will be is not known beforehand.
    std::atomic<uint64_t> next{0};
    run_crew(workers, [&](uint32_t) {
      for (uint64_t at; (at = next.fetch_add(kBytesPerThread)) < bytes;) {
        memcpy(target + at, source + at, std::min(kBytesPerThread, bytes - at));
      }
    });
    return;
  }
  const uint64_t part = std::max<uint64_t>(kBytesPerThread / width, 1);
  std::atomic<uint64_t> next{0};
  run_crew(workers, [&](uint32_t) {
    for (uint64_t first; (first = next.fetch_add(part)) < rows;) {
      for (uint64_t row = first; row < std::min(first + part, rows); row++) {
        memcpy(target + row * to_pitch, source + row * from_pitch, width);
        if (to_pitch > width) memset(target + row * to_pitch + width, 0, to_pitch - width);
      }
    }
  });
}

void Lane::finish() {
  // Forgotten first: a lane whose work failed must not hand it over later.
  std::function<void()> deliver;
  deliver.swap(deliver_);
  used_ = sent_ = 0;
  stream_.synchronize();
  if (deliver) deliver();
}

void Lane::abandon() noexcept {
  deliver_ = nullptr;
  used_ = sent_ = 0;
  try {
    stream_.synchronize();
  } catch (const Failure&) {
    // Why is being told already.
  }
}

const float* Lane::put_rows(const float* from, uint64_t rows, uint32_t features, uint32_t pitch) {
  const Both<float> both = take<float>(rows * pitch);
  copy_rows(both.host, pitch * sizeof(float), from, features * sizeof(float), features * sizeof(float), rows, threads_);
  return both.device;
}

void Lane::send() {
  stream_.upload(device_.memory(), pinned_.memory(), used_);
  sent_ = used_;
}

void Lane::receive(std::function<void()> deliver) {
  stream_.download(pinned_.memory() + sent_, device_.memory() + sent_, used_ - sent_);
  deliver_ = std::move(deliver);
}

}  // namespace lorakeet::cuda
