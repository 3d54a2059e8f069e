#include "table.h"

#include <exception>

#include "../guard.h"
#include "cache.h"
#include "pass.h"

namespace lorakeet::cuda::decoder {
namespace {

lorakeet_status create_model(const lorakeet_decoder_config* config, lorakeet_decoder_model** model) {
  return guarded([&] { *model = new lorakeet_decoder_model(*config); });
}

void destroy_model(lorakeet_decoder_model* model) { delete model; }

lorakeet_status write_weights(lorakeet_decoder_model* model, uint32_t layer, uint32_t tensor, uint32_t first_row,
                              uint32_t rows, uint32_t dtype, const void* values) {
  bool finite = true;
  const lorakeet_status status = guarded([&] { finite = model->write(layer, tensor, first_row, rows, dtype, values); });
  return finite ? status : LORAKEET_NOT_FINITE;
}

uint64_t model_bytes(const lorakeet_decoder_model* model) { return model->bytes(); }

lorakeet_status create_adapter(const lorakeet_decoder_model* model, const lorakeet_lora_target* targets, uint32_t count,
                               uint32_t train, lorakeet_decoder_adapter** adapter) {
  return guarded([&] { *adapter = new lorakeet_decoder_adapter(*model, targets, count, train != 0); });
}

void destroy_adapter(lorakeet_decoder_adapter* adapter) { delete adapter; }

lorakeet_status write_adapter(lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first, uint64_t count,
                              const float* values) {
  return guarded([&] { adapter->write(vector, first, count, values); });
}

lorakeet_status read_adapter(const lorakeet_decoder_adapter* adapter, uint32_t vector, uint64_t first, uint64_t count,
                             float* values) {
  return guarded([&] { adapter->read(vector, first, count, values); });
}

lorakeet_status step_adapter(lorakeet_decoder_adapter* adapter, const lorakeet_adapter_step* step, double* grad_norm) {
  bool finite = true;
  const lorakeet_status status = guarded([&] { finite = adapter->step(*step, grad_norm); });
  return finite ? status : LORAKEET_NOT_FINITE;
}

lorakeet_status add_fisher(lorakeet_decoder_adapter* adapter, double weight) {
  return guarded([&] { adapter->add_fisher(weight); });
}

lorakeet_status create_pass(lorakeet_decoder_model* model, lorakeet_decoder_pass** pass) {
  return guarded([&] { *pass = new lorakeet_decoder_pass(*model); });
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
  return guarded([&] { pass->forward(adapter, *batch, *options, coefficients, log_probabilities, labels); });
}

lorakeet_status backward(lorakeet_decoder_pass* pass, lorakeet_decoder_adapter* adapter, const float* coefficients) {
  return guarded([&] { pass->backward(*adapter, coefficients); });
}

lorakeet_status create_cache(lorakeet_decoder_model* model, uint32_t sequences, uint32_t positions,
                             lorakeet_decoder_cache** cache) {
  return guarded([&] { *cache = new lorakeet_decoder_cache(*model, sequences, positions); });
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
  return guarded([&] { cache->decode(entries, count, tokens, logits); });
}

}  // namespace

lorakeet_decoder make_table(const char* device) {
  return {LORAKEET_DECODER_ABI, device,          create_model,   destroy_model, write_weights, model_bytes,
          create_adapter,       destroy_adapter, write_adapter,  read_adapter,  step_adapter,  add_fisher,
          create_pass,          destroy_pass,    bytes_of_pass,  forward,       backward,      create_cache,
          destroy_cache,        bytes_of_cache,  truncate_cache, decode};
}

}  // namespace lorakeet::cuda::decoder
