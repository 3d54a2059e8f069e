// The device of device.h on a GPU, through the CUDA runtime.
#include <cuda_runtime.h>

#include "apply_kernel.h"
#include "consolidate_kernel.h"
#include "device.h"
#include "update_kernel.h"

namespace lorakeet::cuda {
namespace {

extern __shared__ float shared_memory[];

__device__ Block make_block(double* parts) { return {shared_memory, parts}; }

__global__ void __launch_bounds__(kThreads) apply_kernel(const ApplyBatch batch) {
  __shared__ double parts[kWarps];
  const Block block = make_block(parts);
  for (uint32_t row = blockIdx.x; row < batch.rows; row += gridDim.x) apply_row(block, batch, row);
}

__global__ void __launch_bounds__(kThreads) update_kernel(const UpdateBatch batch) {
  __shared__ double parts[kWarps];
  const Block block = make_block(parts);
  float* scratch = batch.scratch + blockIdx.x * update_scratch_floats(batch.model);
  for (uint32_t user = blockIdx.x; user < batch.users; user += gridDim.x) update_user(block, batch, user, scratch);
}

__global__ void __launch_bounds__(kThreads) consolidate_kernel(const ConsolidateBatch batch) {
  __shared__ double parts[kWarps];
  const Block block = make_block(parts);
  float* scratch = batch.scratch + blockIdx.x * consolidate_scratch_floats(batch.model);
  for (uint32_t user = blockIdx.x; user < batch.users; user += gridDim.x) consolidate_user(block, batch, user, scratch);
}

// Reading the error also clears it, so that one which is not sticky does not fail the next call.
void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw Failure{error == cudaErrorMemoryAllocation ? LORAKEET_OUT_OF_MEMORY : LORAKEET_DEVICE_FAILURE};
}

std::string describe(const char* what, cudaError_t error) {
  cudaGetLastError();
  return std::string(what) + ": " + cudaGetErrorString(error) + " (CUDA error " + std::to_string(error) + ")";
}

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }

}  // namespace

Probe probe_device() {
  int devices = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) return {"", describe("no usable CUDA driver or device", error)};
  if (devices == 0) return {"", "the CUDA driver shows no device"};
  cudaDeviceProp properties;
  error = cudaGetDeviceProperties(&properties, 0);
  if (error != cudaSuccess) return {"", describe("cannot read the properties of CUDA device 0", error)};
  cudaFuncAttributes attributes;
  error = cudaFuncGetAttributes(&attributes, update_kernel);
  if (error != cudaSuccess) {
    return {"", describe((std::string("the kernels were not built for ") + properties.name).c_str(), error)};
  }
  return {properties.name, ""};
}

uint32_t concurrent_blocks() {
  int processors = 0, threads = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  check(cudaDeviceGetAttribute(&threads, cudaDevAttrMaxThreadsPerMultiProcessor, 0));
  return static_cast<uint32_t>(processors) * static_cast<uint32_t>(threads) / kThreads;
}

void* allocate(size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes));
  return memory;
}

void release(void* memory) noexcept { cudaFree(memory); }

Stream::Stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  handle_ = stream;
}

Stream::~Stream() { cudaStreamDestroy(stream_of(handle_)); }

void Stream::upload(void* to, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(handle_)));
}

void Stream::download(void* to, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(handle_)));
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(handle_)));
}

void Stream::zero(void* memory, size_t bytes) { check(cudaMemsetAsync(memory, 0, bytes, stream_of(handle_))); }

void Stream::synchronize() { check(cudaStreamSynchronize(stream_of(handle_))); }

void Stream::launch(const ApplyBatch& batch, uint32_t blocks) {
  const size_t shared = apply_shared_floats(batch.model) * sizeof(float);
  apply_kernel<<<blocks, kThreads, shared, stream_of(handle_)>>>(batch);
  check(cudaGetLastError());
}

void Stream::launch(const UpdateBatch& batch, uint32_t blocks) {
  const size_t shared = update_shared_floats(batch.model) * sizeof(float);
  update_kernel<<<blocks, kThreads, shared, stream_of(handle_)>>>(batch);
  check(cudaGetLastError());
}

void Stream::launch(const ConsolidateBatch& batch, uint32_t blocks) {
  const size_t shared = consolidate_shared_floats(batch.model) * sizeof(float);
  consolidate_kernel<<<blocks, kThreads, shared, stream_of(handle_)>>>(batch);
  check(cudaGetLastError());
}

}  // namespace lorakeet::cuda
