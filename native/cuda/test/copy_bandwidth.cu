// Prints two ceilings in GB/s: the GPU's copy bandwidth, bytes read and written counted, and the rate of transfers from
// pinned host memory to the GPU.
#include <cuda_runtime.h>
#include <stdio.h>

#include <algorithm>

namespace {

// The best of ten copies; 0 when one fails.
float gigabytes_per_second(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  cudaEvent_t start, stop;
  if (cudaEventCreate(&start) || cudaEventCreate(&stop)) return 0;
  float best = 0;
  for (int i = 0; i < 10; i++) {
    cudaEventRecord(start);
    cudaMemcpyAsync(to, from, bytes, kind);
    cudaEventRecord(stop);
    float milliseconds = 0;
    if (cudaEventSynchronize(stop) || cudaEventElapsedTime(&milliseconds, start, stop)) return 0;
    best = std::max(best, bytes / milliseconds * 1e-6f);
  }
  return best;
}

}  // namespace

int main() {
  const size_t bytes = 1ull << 30;
  void *from = nullptr, *to = nullptr, *host = nullptr;
  if (cudaMalloc(&from, bytes) || cudaMalloc(&to, bytes) || cudaMemset(from, 1, bytes) ||
      cudaMallocHost(&host, bytes / 4)) {
    return 1;
  }
  const float copy = 2 * gigabytes_per_second(to, from, bytes, cudaMemcpyDeviceToDevice);
  const float upload = gigabytes_per_second(to, host, bytes / 4, cudaMemcpyHostToDevice);
  if (copy == 0 || upload == 0) return 1;
  printf("%.1f %.1f\n", copy, upload);
  return 0;
}
