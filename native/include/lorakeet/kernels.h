/*
 * The adapter-kernel contract as a C ABI: one table of functions per backend.
 *
 * This is src/kernels/contract.ts in C; the semantics, units and defaults are documented there and the mathematics in
 * docs/math.md. A test holds the operation names of the two, and the addon's exports, together.
 *
 * Trust boundary: callers have checked every argument (shapes, slot and row ranges, duplicates, finite parameters);
 * binding/check.h does so for JavaScript. Implementations check nothing but memory, never throw and never exit: every
 * failure is a status, and after any status but LORAKEET_OK the pool is unchanged and usable.
 *
 * A pool is not thread-safe: callers serialise all calls on one pool. Different pools may be used concurrently.
 */
#ifndef LORAKEET_KERNELS_H
#define LORAKEET_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct or signature below changes; loaders refuse a table of another version. */
#define LORAKEET_KERNELS_ABI 2u

typedef enum lorakeet_status {
  LORAKEET_OK = 0,
  LORAKEET_OUT_OF_MEMORY = 1,
  LORAKEET_DEVICE_FAILURE = 2,
  LORAKEET_NOT_FINITE = 3,    /* consolidate: the new Fisher of some slot would not be finite */
  LORAKEET_DUPLICATE_SLOT = 4 /* a slot stands twice where it may not, noticed by a backend to which that is a race */
} lorakeet_status;

typedef enum lorakeet_optimizer { LORAKEET_SGD = 0, LORAKEET_ADAMW = 1 } lorakeet_optimizer;

typedef enum lorakeet_ewc { LORAKEET_EWC_NONE = 0, LORAKEET_EWC_PROXIMAL = 1, LORAKEET_EWC_GRADIENT = 2 } lorakeet_ewc;

/* How Fisher and anchor are kept; slabs are floats either way. */
typedef enum lorakeet_state_dtype { LORAKEET_FP32 = 0, LORAKEET_BF16 = 1 } lorakeet_state_dtype;

/* Bits of lorakeet_update_report.flags */
enum { LORAKEET_FLAG_CLIPPED = 1, LORAKEET_FLAG_REJECTED = 2, LORAKEET_FLAG_NO_WEIGHT = 4 };

typedef struct lorakeet_pool lorakeet_pool;

typedef struct lorakeet_pool_config {
  uint32_t rank, in_features, out_features, capacity, threads;
  uint32_t residual;    /* 0 or 1 */
  uint32_t optimizer;   /* lorakeet_optimizer */
  uint32_t ewc;         /* lorakeet_ewc */
  uint32_t state_dtype; /* lorakeet_state_dtype */
  double scaling, learning_rate, max_grad_norm /* may be infinite */, ewc_lambda;
  double beta1, beta2, epsilon, weight_decay;
} lorakeet_pool_config;

/* Rows as vectors, or as ids into the bound item table: exactly one of the two is set. */
typedef struct lorakeet_rows {
  const float* vectors;
  const uint32_t* ids;
} lorakeet_rows;

typedef struct lorakeet_apply_batch {
  uint32_t rows;
  const uint32_t* slots; /* [rows] */
  lorakeet_rows x;       /* [rows x in_features] */
} lorakeet_apply_batch;

typedef struct lorakeet_update_batch {
  uint32_t users;
  const uint32_t* slots;       /* [users], distinct */
  const uint32_t* row_offsets; /* [users + 1] */
  lorakeet_rows x, target;
  const float* row_weight;    /* [rows], or null: 1 */
  const float* learning_rate; /* [users], or null: the pool's */
  const float* max_grad_norm; /* [users], or null: the pool's */
  const float* ewc_lambda;    /* [users], or null: the pool's */
} lorakeet_update_batch;

typedef struct lorakeet_update_report {
  float* loss;      /* [users] */
  float* grad_norm; /* [users] */
  uint8_t* flags;   /* [users] */
} lorakeet_update_report;

typedef struct lorakeet_consolidate_batch {
  uint32_t users;
  const uint32_t* slots;       /* [users], distinct */
  const uint32_t* row_offsets; /* [users + 1] */
  lorakeet_rows x;
  double decay;
} lorakeet_consolidate_batch;

/*
 * Slabs are exchanged as src/kernels/layout.ts lays them out: [weights | fisher | anchor | moment1 | moment2], each
 * section loraA [rank x in] then loraB [out x rank]; fisher and anchor with EWC, the moments with AdamW.
 */
typedef struct lorakeet_kernels {
  uint32_t abi_version;
  const char* device;    /* instruction set or GPU name */
  uint32_t state_dtypes; /* those that create_pool takes: bits 1 << lorakeet_state_dtype */

  lorakeet_status (*create_pool)(const lorakeet_pool_config* config, lorakeet_pool** pool);
  void (*destroy_pool)(lorakeet_pool* pool);
  /* Bytes of host or device memory that the pool may touch at present: all that it has taken, not what it reserved. */
  uint64_t (*memory_bytes)(const lorakeet_pool* pool);

  lorakeet_status (*write)(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, const float* slabs,
                           const uint32_t* steps);
  lorakeet_status (*read)(lorakeet_pool* pool, const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps);
  lorakeet_status (*copy)(lorakeet_pool* pool, const uint32_t* from, const uint32_t* to, uint32_t count);
  lorakeet_status (*clear)(lorakeet_pool* pool, const uint32_t* slots, uint32_t count);
  lorakeet_status (*bind_items)(lorakeet_pool* pool, const float* matrix /* or null */, uint32_t items);

  lorakeet_status (*apply)(lorakeet_pool* pool, const lorakeet_apply_batch* batch, float* y);
  lorakeet_status (*update)(lorakeet_pool* pool, const lorakeet_update_batch* batch,
                            const lorakeet_update_report* report);
  lorakeet_status (*consolidate)(lorakeet_pool* pool, const lorakeet_consolidate_batch* batch);
} lorakeet_kernels;

#ifdef __cplusplus
}
#endif
#endif
