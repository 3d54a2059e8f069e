// Measures what one core of this machine can do at most, and prints it as JSON:
//
//   lorakeet_ceilings L1_BYTES L2_BYTES L3_BYTES
//
//   fma        GFLOP/s of fp32 multiply-adds for every instruction set that this processor runs
//   bandwidth  GB/s by level (half of each cache; eight times the last one for DRAM) and stream, widest vectors

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <exception>

#include "lorakeet/cpu.h"
#include "memory.h"
#include "streams.h"
#include "timing.h"

using namespace lorakeet;

namespace {

constexpr double kSampleSeconds = 2e-3;
constexpr int kSamples = 11;
volatile float sink;

const Streams* streams_named(const char* name) {
  const Streams* all[] = {
#if defined(__x86_64__)
    avx512_streams(),
    avx2_streams(),
#elif defined(__aarch64__)
    neon_streams(),
#endif
    baseline_streams()
  };
  for (const Streams* streams : all) {
    if (strcmp(streams->name, name) == 0) return streams;
  }
  return nullptr;
}

double gflops(const Streams& streams) {
  constexpr int64_t kRounds = 10000;
  const double seconds = median_seconds(kSampleSeconds, kSamples, [&] { sink = streams.multiply_add(kRounds); });
  return 1e-9 * static_cast<double>(kRounds * streams.flops_per_round) / seconds;
}

struct Bandwidth {
  double read, copy, update;
};

// All three over the same `bytes` of memory. Arrays start at different places within a page: a read that follows a
// write to the same place of another page waits for it.
Bandwidth bandwidth(const Streams& streams, float* block, size_t bytes) {
  constexpr size_t kPage = 4096 / sizeof(float), kOffset = 21 * 16;
  const auto length = [bytes](size_t arrays) { return bytes / sizeof(float) / arrays / kPage * kPage; };
  const auto array = [block](size_t index, size_t length) { return block + index * (length + kOffset); };
  const auto gbps = [](size_t floats_moved, double seconds) {
    return 1e-9 * static_cast<double>(floats_moved * sizeof(float)) / seconds;
  };
  const size_t whole = length(1), half = length(2), third = length(3);
  const double read_seconds = median_seconds(kSampleSeconds, kSamples, [&] { sink = streams.read(block, whole); });
  const double copy_seconds =
      median_seconds(kSampleSeconds, kSamples, [&] { streams.copy(array(1, half), block, half); });
  const double update_seconds =
      median_seconds(kSampleSeconds, kSamples, [&] { streams.update(block, array(1, third), array(2, third), third); });
  return {gbps(whole, read_seconds), gbps(2 * half, copy_seconds), gbps(5 * third, update_seconds)};
}

}  // namespace

int main(int argc, char** argv) try {
  size_t cache[3];
  for (int i = 0; i < 3; i++) {
    cache[i] = argc == 4 ? strtoull(argv[i + 1], nullptr, 10) : 0;
    if (cache[i] < 32768 || cache[i] > (size_t{4} << 30)) {
      fprintf(stderr, "usage: lorakeet_ceilings L1_BYTES L2_BYTES L3_BYTES\n");
      return 2;
    }
  }
  const size_t dram = std::max<size_t>(size_t{256} << 20, 8 * cache[2]);
  constexpr size_t kSpare = 4096;  // for the offsets of bandwidth()
  LazyBlock memory(dram + kSpare);
  memory.use(dram + kSpare);
  float* block = memory.floats();
  std::fill(block, block + dram / sizeof(float), 0.5f);

  const Streams* widest = streams_named(lorakeet_cpu_kernels(0)->device);
  median_seconds(0.1, 1, [&] { sink = widest->read(block, 4096); });  // brings the core up to speed
  printf("{\"fma\":{");
  for (uint32_t i = 0; lorakeet_cpu_kernels(i); i++) {
    const char* isa = lorakeet_cpu_kernels(i)->device;
    printf("%s\"%s\":%.2f", i ? "," : "", isa, gflops(*streams_named(isa)));
  }
  printf("},\"bandwidth\":{");
  const char* levels[] = {"L1", "L2", "L3", "DRAM"};
  for (int i = 0; i < 4; i++) {
    const Bandwidth b = bandwidth(*widest, block, i < 3 ? cache[i] / 2 : dram);
    printf("%s\"%s\":{\"read\":%.2f,\"copy\":%.2f,\"update\":%.2f}", i ? "," : "", levels[i], b.read, b.copy, b.update);
  }
  printf("}}\n");
  return 0;
} catch (const std::exception& error) {
  fprintf(stderr, "%s\n", error.what());
  return 1;
}
