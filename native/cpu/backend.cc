// The kernel table of the CPU backend: batches are taken apart into slots here, spread over threads, and handed to the
// kernels of one instruction set.

#include <math.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "buffers.h"
#include "crew.h"
#include "lorakeet/cpu.h"
#include "pool.h"
#include "slot.h"

using namespace lorakeet;

struct lorakeet_pool {
  lorakeet_pool(const lorakeet_pool_config& config, const IsaKernels& isa)
      : config(config), isa(isa), shape(slot_shape(config)), store(shape, config.capacity) {
    hyper.scaling = static_cast<float>(config.scaling);
    hyper.residual = config.residual != 0;
    hyper.adamw = config.optimizer == LORAKEET_ADAMW;
    hyper.ewc = config.ewc;
    hyper.beta1 = config.beta1;
    hyper.beta2 = config.beta2;
    hyper.epsilon = static_cast<float>(config.epsilon);
    hyper.weight_decay = static_cast<float>(config.weight_decay);
  }

  RowSource source(const lorakeet_rows& rows, uint32_t features) const {
    return {rows.vectors, rows.ids, items ? items->rows() : nullptr, features};
  }

  // Of a row and of what it is compared with or becomes.
  size_t row_bytes() const { return (size_t{shape.in_features} + shape.out_features) * sizeof(float); }

  // The state that an update of the slot looks at, or null: without a Fisher there is nothing to hold on to.
  const char* state_to_read(uint32_t slot) const {
    return shape.moments || store.record(slot).bounds.fisher > 0 ? store.data(slot).state : nullptr;
  }

  lorakeet_pool_config config;
  const IsaKernels& isa;
  SlotShape shape;
  Hyperparameters hyper;
  SlotStore store;
  std::unique_ptr<ItemTable> items;
  std::vector<std::unique_ptr<ScratchMemory>> scratch;  // by worker
};

namespace {

// Every exception ends here: allocation is the only thing that can throw.
template <typename Body>
lorakeet_status guarded(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return LORAKEET_OUT_OF_MEMORY;
  } catch (...) {
    return LORAKEET_DEVICE_FAILURE;
  }
}

// Asks for the cache line of p, to be read soon.
inline void fetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  (void)p;
#endif
}

// Takes all memory a batch needs before its first slot changes, so that running out of it changes nothing.
void prepare(lorakeet_pool& pool, const uint32_t* slots, uint32_t count, uint32_t workers) {
  for (uint32_t i = 0; i < count; i++) {
    if (i == 0 || slots[i] != slots[i - 1]) pool.store.ensure(slots[i]);  // a slot's rows are neighbours
  }
  while (pool.scratch.size() < workers) pool.scratch.push_back(std::make_unique<ScratchMemory>(pool.shape));
}

// What the users before a user take, in multiply-adds for each of a slot's weights: 3 for a row, 4 for the step.
auto work_before(const uint32_t* row_offsets) {
  return [row_offsets](uint32_t user) { return 3ull * row_offsets[user] + 4ull * user; };
}

// Threads worth waking for this much work: each should have about 50 µs of it at some 30 multiply-adds per ns.
uint32_t workers_for(const lorakeet_pool& pool, uint64_t rows, uint64_t slots) {
  const uint64_t work = (3 * rows + 4 * slots) * pool.shape.section;
  const uint64_t worthwhile = work / 1500000 + 1;
  return static_cast<uint32_t>(worthwhile < pool.config.threads ? worthwhile : pool.config.threads);
}

// Runs job(worker, first, last) over [0, count) in pieces that idle workers pick up. `work(i)` is how much lies before
// item i; a piece is half of a worker's share of what is left, so that all finish at about the same time. An item that
// weighs as much as many others comes first, or it would begin when the others end.
template <typename Work, typename Job>
void spread(uint32_t workers, uint32_t count, const Work& work, const Job& job) {
  if (workers < 2) {
    job(0, 0, count);
    return;
  }
  const uint64_t total = work(count);
  const auto is_heavy = [&](uint32_t i) { return (work(i + 1) - work(i)) * workers * 4 > total; };
  std::vector<uint32_t> heavy;
  for (uint32_t i = 0; i < count; i++) {
    if (is_heavy(i)) heavy.push_back(i);
  }
  alignas(64) std::atomic<uint32_t> next_heavy{0};
  alignas(64) std::atomic<uint32_t> next{0};
  run_crew(workers, [&](uint32_t worker) {
    for (uint32_t i; (i = next_heavy++) < heavy.size();) job(worker, heavy[i], heavy[i] + 1);
    uint32_t first = next;
    while (first < count) {
      const uint64_t end = work(first) + (total - work(first)) / (2 * workers);
      uint32_t last = first + 1, beyond = count;  // the first item behind `last` before which `end` is reached
      while (last < beyond) {
        const uint32_t middle = last + (beyond - last) / 2;
        if (work(middle) < end) {
          last = middle + 1;
        } else {
          beyond = middle;
        }
      }
      if (!next.compare_exchange_weak(first, last)) continue;
      for (const uint32_t i : heavy) {
        if (i < first || i >= last) continue;
        if (first < i) job(worker, first, i);
        first = i + 1;
      }
      if (first < last) job(worker, first, last);
      first = next;
    }
  });
}

void assign(float& to, float from) { to = from; }
void assign(Bf16& to, float from) { to = nearest(from); }
void assign(float& to, Bf16 from) { to = to_float(from); }

// Between one tile-major section of a slot and that of a row-major slab of src/kernels/layout.ts, tile by tile.
template <bool ToSlot, typename Number>
void convert_section(const SlotShape& shape, Number* tile, float* slab) {
  const auto move = [](Number& tiled, float& dense) {
    if constexpr (ToSlot) {
      assign(tiled, dense);
    } else {
      assign(dense, tiled);
    }
  };
  const size_t rank = shape.rank;
  for (size_t first = 0; first < shape.in_features; first += kTile, tile += rank * kTile) {
    const size_t width = std::min<size_t>(kTile, shape.in_features - first);
    for (size_t k = 0; k < rank; k++) {
      for (size_t j = 0; j < width; j++) move(tile[k * kTile + j], slab[k * shape.in_features + first + j]);
    }
  }
  slab += rank * shape.in_features;
  for (size_t first = 0; first < shape.out_features; first += kTile, tile += rank * kTile) {
    const size_t width = std::min<size_t>(kTile, shape.out_features - first);
    for (size_t j = 0; j < width; j++) {
      for (size_t k = 0; k < rank; k++) move(tile[k * kTile + j], slab[(first + j) * rank + k]);
    }
  }
}

// Numbers in one section of a slab.
size_t slab_section(const SlotShape& shape) {
  return shape.rank * (static_cast<size_t>(shape.in_features) + shape.out_features);
}

// All sections, in the order of the slab.
template <bool ToSlot>
void convert(const SlotShape& shape, const SlotData& slot, float* slab) {
  const size_t section = slab_section(shape);
  convert_section<ToSlot>(shape, slot.weights, slab);
  for (const size_t offset : {shape.fisher, shape.anchor}) {
    if (!shape.ewc) break;
    slab += section;
    if (shape.bf16) {
      convert_section<ToSlot>(shape, section_at<Bf16>(slot, offset), slab);
    } else {
      convert_section<ToSlot>(shape, section_at(slot, offset), slab);
    }
  }
  if (shape.moments) {
    convert_section<ToSlot>(shape, section_at(slot, shape.moment1), slab += section);
    convert_section<ToSlot>(shape, section_at(slot, shape.moment2), slab += section);
  }
}

size_t slab_length(const SlotShape& shape) {
  return slab_section(shape) * (1 + 2 * size_t{shape.ewc} + 2 * size_t{shape.moments});
}

void destroy_pool(lorakeet_pool* pool) { delete pool; }

uint64_t memory_bytes(const lorakeet_pool* pool) {
  uint64_t bytes = pool->store.bytes() + (pool->items ? pool->items->bytes() : 0);
  for (const auto& scratch : pool->scratch) bytes += scratch->bytes();
  return bytes;
}

lorakeet_status write(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, const float* slabs,
                      const uint32_t* steps) {
  return guarded([&] {
    prepare(*pool, slots, count, 0);
    const size_t length = slab_length(pool->shape);
    for (uint32_t i = 0; i < count; i++) {
      // ToSlot only reads the slab
      convert<true>(pool->shape, pool->store.data(slots[i]), const_cast<float*>(slabs) + i * length);
      pool->store.record(slots[i]) = {steps[i], 0, pool->isa.measure(pool->shape, pool->store.data(slots[i]))};
    }
    return LORAKEET_OK;
  });
}

lorakeet_status read(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps) {
  return guarded([&] {
    prepare(*pool, slots, count, 0);
    const size_t length = slab_length(pool->shape);
    for (uint32_t i = 0; i < count; i++) {
      convert<false>(pool->shape, pool->store.data(slots[i]), slabs + i * length);
      steps[i] = pool->store.record(slots[i]).steps;
    }
    return LORAKEET_OK;
  });
}

lorakeet_status copy(lorakeet_pool* pool, const uint32_t* from, const uint32_t* to, uint32_t count) {
  return guarded([&] {
    prepare(*pool, from, count, 0);
    prepare(*pool, to, count, 0);
    for (uint32_t i = 0; i < count; i++) {
      const SlotData source = pool->store.data(from[i]), target = pool->store.data(to[i]);
      memcpy(target.weights, source.weights, pool->shape.section * sizeof(float));
      if (target.state) memcpy(target.state, source.state, pool->shape.state_bytes);
      pool->store.record(to[i]) = pool->store.record(from[i]);
    }
    return LORAKEET_OK;
  });
}

lorakeet_status clear(lorakeet_pool* pool, const uint32_t* slots, uint32_t count) {
  return guarded([&] {
    prepare(*pool, slots, count, 0);
    for (uint32_t i = 0; i < count; i++) {
      const SlotData slot = pool->store.data(slots[i]);
      memset(slot.weights, 0, pool->shape.section * sizeof(float));
      if (slot.state) memset(slot.state, 0, pool->shape.state_bytes);
      pool->store.record(slots[i]) = {};
    }
    return LORAKEET_OK;
  });
}

lorakeet_status bind_items(lorakeet_pool* pool, const float* matrix, uint32_t items) {
  return guarded([&] {
    pool->items = matrix ? std::make_unique<ItemTable>(matrix, items, pool->shape.in_features) : nullptr;
    return LORAKEET_OK;
  });
}

lorakeet_status apply(lorakeet_pool* pool, const lorakeet_apply_batch* batch, float* y) {
  return guarded([&] {
    const uint32_t workers = workers_for(*pool, batch->rows, 0);
    prepare(*pool, batch->slots, batch->rows, workers);
    const RowSource x = pool->source(batch->x, pool->shape.in_features);
    const auto rows_before = [](uint32_t row) { return uint64_t{row}; };
    spread(workers, batch->rows, rows_before, [&](uint32_t worker, uint32_t first, uint32_t last) {
      const Scratch& scratch = pool->scratch[worker]->scratch;
      RecentSlots& recent = pool->scratch[worker]->applied;
      while (first < last) {  // neighbouring rows of one slot go together
        const uint32_t slot = batch->slots[first];
        uint32_t end = first + 1;
        while (end < last && batch->slots[end] == slot) end++;
        const bool fetch_next = end < last && !recent.near(batch->slots[end]);
        const float* next = fetch_next ? pool->store.data(batch->slots[end]).weights : nullptr;
        pool->isa.apply(pool->shape, pool->hyper, pool->store.data(slot).weights, next, x, first, end - first,
                        y + static_cast<size_t>(first) * pool->shape.out_features, scratch);
        recent.touch(slot, pool->shape.section * sizeof(float) + (end - first) * pool->row_bytes());
        first = end;
      }
    });
    return LORAKEET_OK;
  });
}

lorakeet_status update(lorakeet_pool* pool, const lorakeet_update_batch* batch, const lorakeet_update_report* report) {
  return guarded([&] {
    const uint32_t workers = workers_for(*pool, batch->row_offsets[batch->users], batch->users);
    prepare(*pool, batch->slots, batch->users, workers);
    const RowSource x = pool->source(batch->x, pool->shape.in_features);
    const RowSource target = pool->source(batch->target, pool->shape.out_features);
    const float learning_rate = static_cast<float>(pool->config.learning_rate);
    const float max_grad_norm = static_cast<float>(pool->config.max_grad_norm);
    const float ewc_lambda = static_cast<float>(pool->config.ewc_lambda);
    spread(workers, batch->users, work_before(batch->row_offsets), [&](uint32_t worker, uint32_t first, uint32_t last) {
      RecentSlots& recent = pool->scratch[worker]->updated;
      for (uint32_t u = first; u < last; u++) {
        const uint32_t row = batch->row_offsets[u];
        SlotRecord& record = pool->store.record(batch->slots[u]);
        SlotUpdate job{};
        job.slot = pool->store.data(batch->slots[u]);
        if (u + 1 < last && !recent.near(batch->slots[u + 1])) {
          const size_t next = batch->row_offsets[u + 1];
          job.next = {pool->store.data(batch->slots[u + 1]).weights, pool->state_to_read(batch->slots[u + 1]),
                      x.vectors ? x.vectors + next * x.features : nullptr,
                      target.vectors ? target.vectors + next * target.features : nullptr,
                      batch->row_offsets[u + 2] - batch->row_offsets[u + 1]};
          if (u + 2 < last) fetch(&pool->store.record(batch->slots[u + 2]));
        }
        job.steps_taken = record.steps;
        job.bounds = record.bounds;
        job.x = x;
        job.target = target;
        job.first_row = row;
        job.rows = batch->row_offsets[u + 1] - row;
        job.row_weight = batch->row_weight ? batch->row_weight + row : nullptr;
        job.learning_rate = batch->learning_rate ? batch->learning_rate[u] : learning_rate;
        job.max_grad_norm = batch->max_grad_norm ? batch->max_grad_norm[u] : max_grad_norm;
        job.ewc_lambda = batch->ewc_lambda ? batch->ewc_lambda[u] : ewc_lambda;
        pool->isa.update(pool->shape, pool->hyper, job, pool->scratch[worker]->scratch);
        const bool stepped = !(job.flags & (LORAKEET_FLAG_REJECTED | LORAKEET_FLAG_NO_WEIGHT));
        if (stepped && record.steps != UINT32_MAX) record.steps++;
        record.bounds = job.bounds;
        recent.touch(batch->slots[u],
                     pool->shape.section * sizeof(float) + pool->shape.state_bytes + job.rows * pool->row_bytes());
        report->loss[u] = job.loss;
        report->grad_norm[u] = job.grad_norm;
        report->flags[u] = job.flags;
      }
    });
    return LORAKEET_OK;
  });
}

lorakeet_status consolidate(lorakeet_pool* pool, const lorakeet_consolidate_batch* batch) {
  return guarded([&] {
    const uint32_t workers = workers_for(*pool, batch->row_offsets[batch->users], batch->users);
    prepare(*pool, batch->slots, batch->users, workers);
    const RowSource x = pool->source(batch->x, pool->shape.in_features);
    // First without writing: one user's bad rows must not leave the others half done.
    std::atomic<bool> all_finite{true};
    for (const bool commit : {false, true}) {
      spread(workers, batch->users, work_before(batch->row_offsets),
             [&](uint32_t worker, uint32_t first, uint32_t last) {
               for (uint32_t u = first; u < last; u++) {
                 const uint32_t row = batch->row_offsets[u];
                 SlotRecord& record = pool->store.record(batch->slots[u]);
                 const SlotConsolidation job = {pool->store.data(batch->slots[u]),
                                                x,
                                                row,
                                                batch->row_offsets[u + 1] - row,
                                                static_cast<float>(batch->decay),
                                                rounding_key(record.steps, record.consolidations)};
                 if (!pool->isa.consolidate(pool->shape, pool->hyper, job, pool->scratch[worker]->scratch, commit)) {
                   all_finite = false;
                 } else if (commit) {
                   record.bounds = pool->isa.measure(pool->shape, job.slot);
                   record.consolidations++;
                 }
               }
             });
      if (!all_finite) return LORAKEET_NOT_FINITE;
    }
    return LORAKEET_OK;
  });
}

template <const IsaKernels* (*Isa)()>
lorakeet_status create_pool(const lorakeet_pool_config* config, lorakeet_pool** pool) {
  return guarded([&] {
    *pool = new lorakeet_pool(*config, *Isa());
    return LORAKEET_OK;
  });
}

template <const IsaKernels* (*Isa)()>
const lorakeet_kernels* table() {
  static const lorakeet_kernels kernels = {LORAKEET_KERNELS_ABI,
                                           Isa()->name,
                                           1u << LORAKEET_FP32 | 1u << LORAKEET_BF16,
                                           create_pool<Isa>,
                                           destroy_pool,
                                           memory_bytes,
                                           write,
                                           read,
                                           copy,
                                           clear,
                                           bind_items,
                                           apply,
                                           update,
                                           consolidate};
  return &kernels;
}

#if defined(__x86_64__) || defined(_M_X64)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

std::vector<const lorakeet_kernels*> usable_tables() {
  std::vector<const lorakeet_kernels*> tables;
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_cpu_init();
  if (has_avx512()) tables.push_back(table<avx512_kernels>());
  if (has_avx2()) tables.push_back(table<avx2_kernels>());
#elif defined(__aarch64__)
  tables.push_back(table<neon_kernels>());
#endif
  tables.push_back(table<baseline_kernels>());
  return tables;
}

}  // namespace

extern "C" const lorakeet_kernels* lorakeet_cpu_kernels(uint32_t index) {
  static const std::vector<const lorakeet_kernels*> tables = usable_tables();
  return index < tables.size() ? tables[index] : nullptr;
}
