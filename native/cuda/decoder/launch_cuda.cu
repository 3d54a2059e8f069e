// The decoder's kernels on a GPU.
#include <cuda_runtime.h>

#include <algorithm>

#include "../cuda_check.h"
#include "kernel_list.h"

namespace lorakeet::cuda::decoder {
namespace {

extern __shared__ float4 shared_memory[];

template <class Kernel>
__global__ void __launch_bounds__(kMostThreads) item_kernel(const Kernel kernel, uint32_t items) {
  __shared__ BlockState state;
  const Block block = {reinterpret_cast<float*>(shared_memory), &state, threadIdx.x, kMostThreads, 0, 1, 0};
  for (uint32_t item = blockIdx.x; item < items; item += gridDim.x) kernel.run(block, item);
}

}  // namespace

template <class Kernel>
void launch(Stream& stream, const Kernel& kernel, size_t items) {
  if (items == 0) return;
  const uint32_t count = static_cast<uint32_t>(items);
  // blocks share the items out among them; more than this keep no device busier
  const uint32_t blocks = std::min(count, 1u << 16);
  const size_t shared = kernel.shared_floats() * sizeof(float);
  item_kernel<<<blocks, kMostThreads, shared, static_cast<cudaStream_t>(stream.handle())>>>(kernel, count);
  check("launch", cudaGetLastError());
}

#define LORAKEET_INSTANTIATE(Kernel) template void launch(Stream&, const Kernel&, size_t);
LORAKEET_DECODER_KERNELS(LORAKEET_INSTANTIATE)

}  // namespace lorakeet::cuda::decoder
