// Prints the GPU's copy bandwidth in GB/s, bytes read and written counted: the ceiling that kernel times are compared
// with.
#include <cuda_runtime.h>
#include <stdio.h>

#include <algorithm>

int main() {
  const size_t bytes = 1ull << 30;
  void *from = nullptr, *to = nullptr;
  cudaEvent_t start, stop;
  if (cudaMalloc(&from, bytes) || cudaMalloc(&to, bytes) || cudaMemset(from, 1, bytes) || cudaEventCreate(&start) ||
      cudaEventCreate(&stop)) {
    return 1;
  }
  float best = 0;
  for (int i = 0; i < 10; i++) {
    cudaEventRecord(start);
    cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice);
    cudaEventRecord(stop);
    float milliseconds = 0;
    if (cudaEventSynchronize(stop) || cudaEventElapsedTime(&milliseconds, start, stop)) return 1;
    best = std::max(best, 2 * bytes / milliseconds * 1e-6f);
  }
  printf("%.1f\n", best);
  return 0;
}
