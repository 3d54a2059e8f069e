// The decoder's table for the CPU, one per instruction set.

#include "lorakeet/decoder.h"

#include <string.h>

#include <algorithm>
#include <exception>
#include <new>

#include "cache.h"
#include "kernels.h"
#include "lorakeet/cpu.h"
#include "pass.h"

using namespace lorakeet;

namespace {

// Every exception ends here: allocation is the only thing that can throw.
template <typename Body>
lorakeet_status guarded(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return LORAKEET_OUT_OF_MEMORY;
  } catch (const std::exception&) {
    return LORAKEET_DEVICE_FAILURE;
  }
}

template <typename Isa>
lorakeet_status create_model(const lorakeet_decoder_config* config, lorakeet_decoder_model** model) {
  return guarded([&] {
    *model = new Model(*config, Isa::kName, Isa::kernels());
    return LORAKEET_OK;
  });
}

void destroy_model(lorakeet_decoder_model* model) { delete model; }

lorakeet_status write_weights(lorakeet_decoder_model* model, uint32_t layer, uint32_t tensor, uint32_t first_row,
                              uint32_t rows, uint32_t dtype, const void* values) {
  return model->write(layer, tensor, first_row, rows, dtype, values) ? LORAKEET_OK : LORAKEET_NOT_FINITE;
}

uint64_t model_bytes(const lorakeet_decoder_model* model) { return model->bytes(); }

lorakeet_status create_adapter(const lorakeet_decoder_model* model, const lorakeet_lora_target* targets, uint32_t count,
                               uint32_t train, lorakeet_decoder_adapter** adapter) {
  return guarded([&] {
    *adapter = new Adapter(*model, targets, count, train != 0);
    return LORAKEET_OK;
  });
}

void destroy_adapter(lorakeet_decoder_adapter* adapter) { delete adapter; }

lorakeet_status write_adapter(lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first, uint64_t count,
                              const float* values) {
  std::copy_n(values, count, adapter->vector(vector) + first);
  return LORAKEET_OK;
}

lorakeet_status read_adapter(const lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first, uint64_t count,
                             float* values) {
  std::copy_n(adapter->vector(vector) + first, count, values);
  return LORAKEET_OK;
}

lorakeet_status step_adapter(lorakeet_decoder_adapter* adapter, const lorakeet_adapter_step* step, double* grad_norm) {
  return adapter->step(*step, grad_norm) ? LORAKEET_OK : LORAKEET_NOT_FINITE;
}

lorakeet_status add_fisher(lorakeet_decoder_adapter* adapter, double weight) {
  adapter->add_fisher(weight);
  return LORAKEET_OK;
}

lorakeet_status create_pass(lorakeet_decoder_model* model, lorakeet_decoder_pass** pass) {
  return guarded([&] {
    *pass = new Pass(*model);
    return LORAKEET_OK;
  });
}

void destroy_pass(lorakeet_decoder_pass* pass) { delete pass; }

uint64_t bytes_of_pass(const lorakeet_decoder_model* model, const lorakeet_lora_target* given, uint32_t count,
                       const lorakeet_token_batch* batch, const lorakeet_forward_options* options) {
  try {
    const Targets targets(model->config, given, count);
    return pass_bytes(*model, targets, pass_size(*batch, *options, &targets));
  } catch (const std::exception&) {
    return UINT64_MAX;  // not even that could be computed in the memory there is
  }
}

lorakeet_status forward(lorakeet_decoder_pass* pass, const lorakeet_decoder_adapter* adapter,
                        const lorakeet_token_batch* batch, const lorakeet_forward_options* options,
                        const float* coefficients, float* log_probabilities, uint32_t* labels) {
  return guarded([&] {
    pass->forward(adapter, *batch, *options, coefficients, log_probabilities, labels);
    return LORAKEET_OK;
  });
}

lorakeet_status backward(lorakeet_decoder_pass* pass, lorakeet_decoder_adapter* adapter, const float* coefficients) {
  pass->backward(*adapter, coefficients);
  return LORAKEET_OK;
}

lorakeet_status create_cache(lorakeet_decoder_model* model, uint32_t sequences, uint32_t positions,
                             lorakeet_decoder_cache** cache) {
  return guarded([&] {
    *cache = new Cache(*model, sequences, positions);
    return LORAKEET_OK;
  });
}

void destroy_cache(lorakeet_decoder_cache* cache) { delete cache; }

uint64_t bytes_of_cache(const lorakeet_decoder_model* model, uint32_t sequences, uint32_t positions) {
  return cache_bytes(*model, sequences, positions);
}

void truncate_cache(lorakeet_decoder_cache* cache, uint32_t sequence, uint32_t length) {
  cache->truncate(sequence, length);
}

lorakeet_status decode(lorakeet_decoder_cache* cache, const lorakeet_decode_entry* entries, uint32_t count,
                       const uint32_t* tokens, float* logits) {
  cache->decode(entries, count, tokens, logits);
  return LORAKEET_OK;
}

struct Baseline {
  static constexpr const char* kName = "baseline";
  static const DecoderKernels& kernels() { return baseline_decoder(); }
};
#if defined(__x86_64__) || defined(_M_X64)
struct Avx512 {
  static constexpr const char* kName = "avx512";
  static const DecoderKernels& kernels() { return avx512_decoder(); }
};
struct Avx2 {
  static constexpr const char* kName = "avx2";
  static const DecoderKernels& kernels() { return avx2_decoder(); }
};
#elif defined(__aarch64__)
struct Neon {
  static constexpr const char* kName = "neon";
  static const DecoderKernels& kernels() { return neon_decoder(); }
};
#endif

template <typename Isa>
const lorakeet_decoder* table() {
  static const lorakeet_decoder decoder = {
      LORAKEET_DECODER_ABI, Isa::kName,      create_model<Isa>, destroy_model, write_weights, model_bytes,
      create_adapter,       destroy_adapter, write_adapter,     read_adapter,  step_adapter,  add_fisher,
      create_pass,          destroy_pass,    bytes_of_pass,     forward,       backward,      create_cache,
      destroy_cache,        bytes_of_cache,  truncate_cache,    decode};
  return &decoder;
}

}  // namespace

extern "C" const lorakeet_decoder* lorakeet_cpu_decoder(const char* device) {
  // What the processor runs is decided in one place, that of the adapter kernels.
  for (uint32_t i = 0; const lorakeet_kernels* known = lorakeet_cpu_kernels(i); i++) {
    if (strcmp(known->device, device) != 0) continue;
#if defined(__x86_64__) || defined(_M_X64)
    if (strcmp(device, Avx512::kName) == 0) return table<Avx512>();
    if (strcmp(device, Avx2::kName) == 0) return table<Avx2>();
#elif defined(__aarch64__)
    if (strcmp(device, Neon::kName) == 0) return table<Neon>();
#endif
    return table<Baseline>();
  }
  return nullptr;
}
