// The pools of one JavaScript environment (main thread or worker), by number. Numbers instead of wrapped objects: cheap
// to look up, never reused, and nothing that JavaScript passes can be mistaken for memory.
#pragma once

#include <node_api.h>

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "arguments.h"
#include "decoder.h"
#include "lorakeet/kernels.h"

namespace lorakeet {

// Finds slots that stand twice in a list without clearing anything between calls: each call stamps the slots it sees
// with its own number. Memory grows by pages with the slots really used.
class SlotStamps {
 public:
  explicit SlotStamps(uint32_t capacity) : capacity_(capacity) {}
  void begin();
  // False if the slot was stamped since begin().
  bool stamp(uint32_t slot);
  bool stamped(uint32_t slot) const;
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr uint32_t kPageBits = 12;
  uint32_t page_length(uint32_t page) const;

  const uint32_t capacity_;
  uint64_t bytes_ = 0;
  std::vector<std::unique_ptr<uint32_t[]>> pages_;
  uint32_t call_ = 0;
};

struct Pool {
  Pool(const lorakeet_kernels* kernels, const lorakeet_pool_config& config)
      : kernels(kernels), config(config), stamps(config.capacity) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  size_t slab_length() const;
  // Of the kernels and of what is kept here by slot.
  uint64_t memory_bytes() const { return kernels->memory_bytes(handle) + stamps.bytes(); }

  const lorakeet_kernels* const kernels;
  const lorakeet_pool_config config;
  lorakeet_pool* handle = nullptr;

  // Held for the length of every call on the pool, from whichever thread it comes. Everything below belongs to it.
  std::mutex mutex;
  uint32_t items = 0;
  bool has_items = false;
  SlotStamps stamps;
  // Indices are copied before they are checked, and only the copies are used: outputs may share memory with inputs.
  std::vector<uint32_t> slots, row_offsets, x_ids, target_ids;
  // What the garbage collector was last told; only touched on the environment's own thread.
  int64_t reported_bytes = 0;
};

struct Environment {
  std::unordered_map<uint32_t, std::shared_ptr<Pool>> pools;
  uint32_t next = 1;
  DecoderObjects decoder;
};

Environment* environment(napi_env env);
// Null and a problem when the number belongs to no open pool.
std::shared_ptr<Pool> find_pool(napi_env env, napi_value number, Problem* problem);
// Tells the garbage collector about memory that it cannot see.
void report_memory(napi_env env, Pool& pool);

napi_value create_pool(napi_env env, napi_callback_info info);
napi_value close_pool(napi_env env, napi_callback_info info);
napi_value memory_bytes(napi_env env, napi_callback_info info);

}  // namespace lorakeet
