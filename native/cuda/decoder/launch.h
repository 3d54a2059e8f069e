// How the decoder's kernels run: a kernel is a struct of arguments whose run(block, item) a whole block executes, once
// for every item. kernel_list.h lists them; launch_cuda.cu starts them on a GPU, launch_host.cc runs them on the host.
#pragma once

#include "../device.h"

namespace lorakeet::cuda::decoder {

// Items must not depend on one another. Nothing happens without items.
template <class Kernel>
void launch(Stream& stream, const Kernel& kernel, size_t items);

}  // namespace lorakeet::cuda::decoder
