// The decoder's kernels on the host, for tests: blocks run one after another, last to first where the device is told to
// be reversed.
#include "../device_host.h"
#include "kernel_list.h"

namespace lorakeet::cuda::decoder {

template <class Kernel>
void launch(Stream&, const Kernel& kernel, size_t items) {
  if (items == 0) return;
  fail_if_told();
  const bool reversed = setting("LORAKEET_SHIM_REVERSED", 0) == 1;
  float* const shared = static_cast<float*>(take(kernel.shared_floats() * sizeof(float)));
  const Block block{shared, kMostThreads, 0, 1, reversed, nullptr, {}, 0};
  for (size_t i = 0; i < items; i++) kernel.run(block, static_cast<uint32_t>(reversed ? items - 1 - i : i));
  give_back(shared);
}

#define LORAKEET_INSTANTIATE(Kernel) template void launch(Stream&, const Kernel&, size_t);
LORAKEET_DECODER_KERNELS(LORAKEET_INSTANTIATE)

}  // namespace lorakeet::cuda::decoder
