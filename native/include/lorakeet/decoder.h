/*
 * The language-model contract as a C ABI: a Llama-family decoder whose base is frozen and whose LoRA adapters learn.
 *
 * This is src/llm/decoder/contract.ts in C; semantics, shapes and formulas are documented there, and a test holds the
 * names of the two and the addon's exports together.
 *
 * Trust boundary, statuses and failure: as in kernels.h. Callers have checked every argument; an implementation checks
 * nothing but memory, never throws and never exits, and after a status other than LORAKEET_OK nothing has changed.
 *
 * Threads: a model whose weights have been written is only read and may be used by any number of calls at once. Calls
 * on one adapter, one pass or one cache are serialised by the caller; calls that only read an adapter (forward, decode)
 * may run at the same time.
 */
#ifndef LORAKEET_DECODER_H
#define LORAKEET_DECODER_H

#include <stdint.h>

#include "lorakeet/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct or signature below changes; loaders refuse a table of another version. */
#define LORAKEET_DECODER_ABI 1u

/* LORAKEET_WEIGHTS_INT8 is only a way of keeping weights: bytes that are written are never of that type. */
typedef enum lorakeet_weight_dtype {
  LORAKEET_WEIGHTS_F32 = 0,
  LORAKEET_WEIGHTS_BF16 = 1,
  LORAKEET_WEIGHTS_F16 = 2,
  LORAKEET_WEIGHTS_INT8 = 3
} lorakeet_weight_dtype;

/* How the products with base weights are computed; all else is float32. */
typedef enum lorakeet_arithmetic { LORAKEET_ARITHMETIC_F32 = 0, LORAKEET_ARITHMETIC_BF16 = 1 } lorakeet_arithmetic;

typedef enum lorakeet_module {
  LORAKEET_Q_PROJ = 0,
  LORAKEET_K_PROJ = 1,
  LORAKEET_V_PROJ = 2,
  LORAKEET_O_PROJ = 3,
  LORAKEET_GATE_PROJ = 4,
  LORAKEET_UP_PROJ = 5,
  LORAKEET_DOWN_PROJ = 6,
  LORAKEET_MODULES = 7
} lorakeet_module;

/* The tensors of a layer: a projection is its lorakeet_module, its bias that plus LORAKEET_BIAS. */
typedef enum lorakeet_layer_tensor {
  LORAKEET_BIAS = 7,
  LORAKEET_INPUT_NORM = 14,
  LORAKEET_POST_ATTENTION_NORM = 15,
  LORAKEET_Q_NORM = 16,
  LORAKEET_K_NORM = 17,
  LORAKEET_LAYER_TENSORS = 18
} lorakeet_layer_tensor;

/* The tensors outside the layers, of layer LORAKEET_NO_LAYER. */
typedef enum lorakeet_model_tensor {
  LORAKEET_EMBEDDING = 0,
  LORAKEET_FINAL_NORM = 1,
  LORAKEET_HEAD = 2,
  LORAKEET_MODEL_TENSORS = 3
} lorakeet_model_tensor;

#define LORAKEET_NO_LAYER 0xffffffffu

#define LORAKEET_MAX_LORA_RANK 4096u

typedef struct lorakeet_decoder_config {
  uint32_t vocab_size, hidden_size, intermediate_size, layers, heads, key_value_heads, head_dim;
  uint32_t biases;          /* bits 1 << lorakeet_module: which projections have one */
  uint32_t query_key_norms; /* 0 or 1: RMSNorm over head_dim of every query and key, before RoPE (Qwen3) */
  uint32_t tied;            /* 0 or 1: the head is the embedding */
  uint32_t weight_dtype;    /* lorakeet_weight_dtype: how projections, embedding and head are kept */
  uint32_t arithmetic;      /* lorakeet_arithmetic */
  uint32_t threads;
  float rms_norm_eps;
  const double* inverse_frequencies; /* [head_dim / 2], of RoPE; copied */
} lorakeet_decoder_config;

typedef struct lorakeet_decoder_model lorakeet_decoder_model;
typedef struct lorakeet_decoder_adapter lorakeet_decoder_adapter;
typedef struct lorakeet_decoder_pass lorakeet_decoder_pass;
typedef struct lorakeet_decoder_cache lorakeet_decoder_cache;

typedef struct lorakeet_lora_target {
  uint32_t layer, module, rank;
  float scaling;
} lorakeet_lora_target;

/* The vectors of an adapter, each [parameters]; all but LORAKEET_PARAMETERS only of one that trains. */
typedef enum lorakeet_adapter_vector {
  LORAKEET_PARAMETERS = 0,
  LORAKEET_GRADIENT = 1,
  LORAKEET_MOMENT1 = 2,
  LORAKEET_MOMENT2 = 3,
  LORAKEET_FISHER = 4,
  LORAKEET_ANCHOR = 5,
  LORAKEET_ADAPTER_VECTORS = 6
} lorakeet_adapter_vector;

typedef struct lorakeet_token_batch {
  uint32_t sequences, targets;
  const uint32_t* tokens;    /* [offsets[sequences]]: the sequences one after another */
  const uint32_t* offsets;   /* [sequences + 1] */
  const uint32_t* positions; /* [targets], rising: the tokens to predict; never the first of a sequence */
} lorakeet_token_batch;

typedef struct lorakeet_forward_options {
  uint32_t keep;        /* 0 or 1: a backward follows */
  uint32_t recompute;   /* 0 or 1: keep only what enters each layer, and compute the rest again in backward */
  uint32_t sample;      /* 0 or 1: each target is replaced by a token drawn from the model's own distribution */
  uint64_t sample_seed; /* of that draw */
  double dropout;       /* [0, 1): of what enters loraA */
  uint64_t dropout_seed;
} lorakeet_forward_options;

typedef struct lorakeet_adapter_step {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  double max_grad_norm; /* may be infinite */
  double ewc_lambda;    /* 0: no pull */
  uint32_t step;        /* from 1: of the bias correction */
} lorakeet_adapter_step;

typedef struct lorakeet_decode_entry {
  uint32_t sequence;                       /* of the cache; distinct within a call */
  uint32_t tokens;                         /* how many of the call's tokens are its own, at least 1 */
  const lorakeet_decoder_adapter* adapter; /* or null */
} lorakeet_decode_entry;

typedef struct lorakeet_decoder {
  uint32_t abi_version;
  const char* device;

  lorakeet_status (*create_model)(const lorakeet_decoder_config* config, lorakeet_decoder_model** model);
  void (*destroy_model)(lorakeet_decoder_model* model);
  /* `values`: [rows x columns of the tensor] in `dtype`, of any alignment; rows are those from first_row on.
   * LORAKEET_NOT_FINITE for NaN and infinity. */
  lorakeet_status (*write_weights)(lorakeet_decoder_model* model, uint32_t layer, uint32_t tensor, uint32_t first_row,
                                   uint32_t rows, uint32_t dtype, const void* values);
  uint64_t (*model_bytes)(const lorakeet_decoder_model* model);

  lorakeet_status (*create_adapter)(const lorakeet_decoder_model* model, const lorakeet_lora_target* targets,
                                    uint32_t count, uint32_t train /* 0 or 1 */, lorakeet_decoder_adapter** adapter);
  void (*destroy_adapter)(lorakeet_decoder_adapter* adapter);
  lorakeet_status (*write_adapter)(lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first, uint64_t count,
                                   const float* values);
  lorakeet_status (*read_adapter)(const lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first,
                                  uint64_t count, float* values);
  /* LORAKEET_NOT_FINITE where the norm of the gradient is not finite: then only the gradient has changed, to zero. */
  lorakeet_status (*step_adapter)(lorakeet_decoder_adapter* adapter, const lorakeet_adapter_step* step,
                                  double* grad_norm);
  lorakeet_status (*add_fisher)(lorakeet_decoder_adapter* adapter, double weight);

  lorakeet_status (*create_pass)(lorakeet_decoder_model* model, lorakeet_decoder_pass** pass);
  void (*destroy_pass)(lorakeet_decoder_pass* pass);
  /* Bytes that a forward, and a backward after it if `keep` is set, take at most beside model and adapter. */
  uint64_t (*pass_bytes)(const lorakeet_decoder_model* model, const lorakeet_lora_target* targets, uint32_t count,
                         const lorakeet_token_batch* batch /* tokens and positions unread */,
                         const lorakeet_forward_options* options);
  /* What a forward before this one kept is dropped. */
  /* `coefficients` [targets] or null; `log_probabilities` [targets]; `labels` [targets], the tokens that were scored.
   */
  lorakeet_status (*forward)(lorakeet_decoder_pass* pass, const lorakeet_decoder_adapter* adapter,
                             const lorakeet_token_batch* batch, const lorakeet_forward_options* options,
                             const float* coefficients, float* log_probabilities, uint32_t* labels);
  /* `coefficients` null where forward had them. */
  lorakeet_status (*backward)(lorakeet_decoder_pass* pass, lorakeet_decoder_adapter* adapter,
                              const float* coefficients);

  lorakeet_status (*create_cache)(lorakeet_decoder_model* model, uint32_t sequences, uint32_t positions,
                                  lorakeet_decoder_cache** cache);
  void (*destroy_cache)(lorakeet_decoder_cache* cache);
  uint64_t (*cache_bytes)(const lorakeet_decoder_model* model, uint32_t sequences, uint32_t positions);
  void (*truncate_cache)(lorakeet_decoder_cache* cache, uint32_t sequence, uint32_t length);
  /* `tokens`: those of all entries, one entry after another; `logits` [entries x vocab_size]: after the last of each.
   */
  lorakeet_status (*decode)(lorakeet_decoder_cache* cache, const lorakeet_decode_entry* entries, uint32_t count,
                            const uint32_t* tokens, float* logits);
} lorakeet_decoder;

#ifdef __cplusplus
}
#endif
#endif
