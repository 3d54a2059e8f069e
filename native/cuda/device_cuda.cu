// The device of device.h on a GPU, through the CUDA runtime.
#include <cuda_runtime.h>

#include <algorithm>

#include "apply_kernel.h"
#include "consolidate_kernel.h"
#include "cuda_check.h"
#include "device.h"
#include "transfer_kernel.h"
#include "update_kernel.h"

namespace lorakeet::cuda {
namespace {

extern __shared__ float4 shared_memory[];

// A whole block, alone or as one of a cluster.
__device__ Block make_block(BlockState* state) {
  Block block = {reinterpret_cast<float*>(shared_memory), state, threadIdx.x, blockDim.x, 0, 1, 0};
#if __CUDA_ARCH__ >= 900
  block.rank = cooperative_groups::this_cluster().block_rank();
  block.ranks = cooperative_groups::this_cluster().num_blocks();
#endif
  return block;
}

// Three resident blocks of the largest size to a multiprocessor: enough to have loads of one in flight while others
// compute. Pointers to device memory are twice as large as those to shared memory and need more registers.
template <bool kResident, class State>
__global__ void __launch_bounds__(kMostThreads, kResident ? 3 : 2) update_kernel(const UpdateBatch batch) {
  __shared__ BlockState state;
  const Block block = make_block(&state);
  block.start();
  const uint32_t cluster = blockIdx.x / block.ranks, clusters = gridDim.x / block.ranks;
  float* scratch = kResident ? nullptr : batch.scratch + cluster * update_scratch_floats(batch.model, batch.plan);
  for (uint32_t user = cluster; user < batch.users; user += clusters) {
    update_user<kResident, State>(block, batch, user, user + clusters, scratch);
  }
}

// Several teams to a block when a team is a warp.
__global__ void __launch_bounds__(kMostThreads) apply_kernel(const ApplyBatch batch, uint32_t team) {
  const uint32_t index = threadIdx.x / team, teams = blockDim.x / team;
  float* shared = reinterpret_cast<float*>(shared_memory) + index * apply_shared_floats(batch.model);
  const Block block = {shared, nullptr, threadIdx.x % team, team, 0, 1, 0};
  for (uint32_t group = blockIdx.x * teams + index; group < batch.groups; group += gridDim.x * teams) {
    apply_group(block, batch, group);
  }
}

template <class State>
__global__ void __launch_bounds__(kMostThreads) consolidate_kernel(const ConsolidateBatch batch) {
  __shared__ BlockState state;
  const Block block = make_block(&state);
  for (uint32_t user = blockIdx.x; user < batch.users; user += gridDim.x) {
    consolidate_user<State>(block, batch, user);
  }
}

__global__ void __launch_bounds__(kMostThreads) move_kernel(const MoveBatch batch) {
  const Block block = make_block(nullptr);
  for (uint32_t i = blockIdx.x; i < batch.count; i += gridDim.x) move_frame(block, batch, i);
}

template <class State>
__global__ void __launch_bounds__(kMostThreads) pack_kernel(const PackBatch batch) {
  const Block block = make_block(nullptr);
  for (uint32_t i = blockIdx.x; i < batch.count; i += gridDim.x) pack_slot<State>(block, batch, i);
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  check("cudaDeviceGetAttribute", cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }

using UpdateKernel = void (*)(UpdateBatch);

UpdateKernel update_kernel_for(const Model& model, const Plan& plan) {
  if (model.bf16) return plan.resident ? update_kernel<true, Bf16> : update_kernel<false, Bf16>;
  return plan.resident ? update_kernel<true, float> : update_kernel<false, float>;
}

// A launch configuration whose attributes live as long as it.
struct Launch {
  cudaLaunchConfig_t config = {};
  cudaLaunchAttribute cluster = {};

  template <class Kernel>
  Launch(Kernel kernel, uint32_t blocks, uint32_t threads, size_t shared, uint32_t ranks, cudaStream_t stream) {
    config.gridDim = blocks;
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    if (ranks > 1) {
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim = {ranks, 1, 1};
      config.attrs = &cluster;
      config.numAttrs = 1;
    }
    if (shared > 48 << 10) {  // more than every kernel may have without asking
      check("cudaFuncSetAttribute",
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
    }
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
};

// As many blocks as there is work for, and no more than keep the device busy; they share the work out among them.
template <class Kernel, class... Arguments>
void launch(Kernel kernel, uint32_t work, uint32_t threads, size_t shared, void* stream, Arguments... arguments) {
  static const uint32_t processors = attribute(cudaDevAttrMultiProcessorCount);
  const uint32_t blocks = std::min(work, processors * 64);
  const Launch launch(kernel, blocks, threads, shared, 1, stream_of(stream));
  check("launch", cudaLaunchKernelEx(&launch.config, kernel, arguments...));
}

}  // namespace

Probe probe_device() {
  int devices = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && devices == 0) return {"", "the CUDA driver shows no device"};
  const char* what = "no usable CUDA driver or device";
  cudaDeviceProp properties = {};
  if (error == cudaSuccess) {
    what = "cannot read the properties of CUDA device 0";
    error = cudaGetDeviceProperties(&properties, 0);
  }
  if (error == cudaSuccess) {
    what = "the kernels were not built for this GPU";
    cudaFuncAttributes attributes;
    error = cudaFuncGetAttributes(&attributes, update_kernel<true, float>);
  }
  if (error != cudaSuccess) {
    cudaGetLastError();
    return {"", describe(what, error)};
  }
  return {properties.name, ""};
}

Limits device_limits() {
  constexpr uint32_t kOwn = 1 << 10;  // BlockState, and what the system keeps for itself
  const bool clusters = attribute(cudaDevAttrClusterLaunch) != 0;
  return {static_cast<uint32_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) - kOwn, clusters ? kMostRanks : 1};
}

DeviceMemory device_memory() {
  size_t free = 0, total = 0;
  check("cudaMemGetInfo", cudaMemGetInfo(&free, &total));
  return {free, total};
}

void* allocate(size_t bytes) {
  void* memory = nullptr;
  check("cudaMalloc", cudaMalloc(&memory, bytes));
  return memory;
}

void release(void* memory) noexcept { cudaFree(memory); }

void* allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  check("cudaMallocHost", cudaMallocHost(&memory, bytes));
  return memory;
}

void release_pinned(void* memory) noexcept { cudaFreeHost(memory); }

uint32_t concurrent_clusters(const Model& model, const Plan& plan, uint32_t chunk) {
  const UpdateKernel kernel = update_kernel_for(model, plan);
  const size_t shared = update_shared_floats(model, plan, chunk) * sizeof(float);
  const Launch launch(kernel, plan.ranks, plan.threads, shared, plan.ranks, nullptr);
  int count = 0;
  if (plan.ranks > 1) {
    check("cudaOccupancyMaxActiveClusters", cudaOccupancyMaxActiveClusters(&count, kernel, &launch.config));
  } else {
    check("cudaOccupancyMaxActiveBlocksPerMultiprocessor",
          cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, static_cast<int>(plan.threads), shared));
    count *= attribute(cudaDevAttrMultiProcessorCount);
  }
  return static_cast<uint32_t>(std::max(count, 1));
}

Stream::Stream() {
  cudaStream_t stream = nullptr;
  check("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  handle_ = stream;
}

Stream::~Stream() { cudaStreamDestroy(stream_of(handle_)); }

void Stream::upload(void* to, const void* from, size_t bytes) {
  check("upload", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(handle_)));
}

void Stream::download(void* to, const void* from, size_t bytes) {
  check("download", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(handle_)));
}

void Stream::synchronize() { check("cudaStreamSynchronize", cudaStreamSynchronize(stream_of(handle_))); }

void Stream::launch(const ApplyBatch& batch) {
  const uint32_t team = apply_team(batch.model), threads = std::max(team, 128u), teams = threads / team;
  const size_t shared = teams * apply_shared_floats(batch.model) * sizeof(float);
  cuda::launch(apply_kernel, (batch.groups + teams - 1) / teams, threads, shared, handle_, batch, team);
}

void Stream::launch(const UpdateBatch& batch, uint32_t clusters) {
  const UpdateKernel kernel = update_kernel_for(batch.model, batch.plan);
  const size_t shared = update_shared_floats(batch.model, batch.plan, batch.chunk) * sizeof(float);
  const Launch launch(kernel, clusters * batch.plan.ranks, batch.plan.threads, shared, batch.plan.ranks,
                      stream_of(handle_));
  check("launch", cudaLaunchKernelEx(&launch.config, kernel, batch));
}

void Stream::launch(const ConsolidateBatch& batch) {
  cuda::launch(batch.model.bf16 ? consolidate_kernel<Bf16> : consolidate_kernel<float>, batch.users, kMostThreads,
               consolidate_shared_floats(batch.model) * sizeof(float), handle_, batch);
}

void Stream::launch(const MoveBatch& batch) { cuda::launch(move_kernel, batch.count, kMostThreads, 0, handle_, batch); }

void Stream::launch(const PackBatch& batch) {
  cuda::launch(batch.model.bf16 ? pack_kernel<Bf16> : pack_kernel<float>, batch.count, kMostThreads, 0, handle_, batch);
}

}  // namespace lorakeet::cuda
