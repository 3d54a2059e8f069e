#include "model.h"

#include "carver.h"
#include "weight_rows.h"

using namespace lorakeet;

lorakeet_decoder_model::lorakeet_decoder_model(const lorakeet_decoder_config& given, const char* device,
                                               const DecoderKernels& kernels)
    : config(given),
      device(device),
      kernels(kernels),
      arithmetic(given.arithmetic == LORAKEET_ARITHMETIC_BF16 ? Arithmetic::kBf16 : Arithmetic::kF32),
      inverse_frequencies(given.inverse_frequencies, given.inverse_frequencies + given.head_dim / 2) {
  Carver measure;
  lay_out(measure, config);
  bytes_ = measure.bytes();
  block_ = LazyBlock(bytes_);
  block_.use(bytes_);
  Carver carver(block_.data());
  lay_out(carver, config);
}

bool lorakeet_decoder_model::write(uint32_t layer, uint32_t tensor, uint32_t first_row, uint32_t rows, uint32_t dtype,
                                   const void* values) {
  const Weight to = this->tensor(config, layer, tensor);
  const WeightType from = static_cast<WeightType>(dtype);
  const char* const source = static_cast<const char*>(values);
  if (!all_finite(from, source, rows, to.in, config.threads)) return false;
  char* const data = static_cast<char*>(const_cast<void*>(to.data)) + first_row * to.in * bytes_of(to.type);
  float* const row_scale = to.row_scale ? const_cast<float*>(to.row_scale) + first_row : nullptr;
  convert_rows(from, source, rows, to.in, config.threads, to.type, data, row_scale);
  return true;
}

void lorakeet_decoder_model::embed(uint32_t token, float* row) const {
  const size_t columns = embedding.in;
  read_floats(embedding.type, static_cast<const char*>(embedding.data), token * columns, columns, row);
  if (embedding.row_scale) {
    for (size_t i = 0; i < columns; i++) row[i] *= embedding.row_scale[token];
  }
}
