#include "model.h"

#include <math.h>

#include "../../decoder/weight_rows.h"
#include "engine.h"

using namespace lorakeet;
using namespace lorakeet::cuda;
using namespace lorakeet::cuda::decoder;

namespace {

// What every GPU lets a block have without being asked, less what a block has beside it.
constexpr uint32_t kSharedFloats = 11 << 10;

uint32_t attention_floats(uint32_t queries, uint32_t keys, uint32_t dim, bool backward) {
  return backward ? AttentionBack::floats(queries, keys, dim) : Attend::floats(queries, keys, dim);
}

}  // namespace

AttentionShape decoder::attention_shape(const lorakeet_decoder_config& config, uint32_t most_queries, bool backward) {
  constexpr uint32_t kQueries = 16, kKeys = 32, kMostKeys = 128;
  AttentionShape shape = {config.heads,    config.key_value_heads,
                          config.head_dim, kQueries,
                          kKeys,           1.0f / sqrtf(static_cast<float>(config.head_dim))};
  while (shape.queries / 2 >= most_queries) shape.queries /= 2;
  if (!backward) shape.keys = shape.queries < kQueries ? kMostKeys : 2 * kKeys;
  while (attention_floats(shape.queries, shape.keys, shape.dim, backward) > kSharedFloats) {
    (shape.keys >= shape.queries ? shape.keys : shape.queries) /= 2;
  }
  return shape;
}

lorakeet_decoder_model::lorakeet_decoder_model(const lorakeet_decoder_config& given) : config(given) {
  if (attention_floats(1, 1, config.head_dim, true) > kSharedFloats) {
    throw Failure{LORAKEET_DEVICE_FAILURE, "headDim: attention on a GPU has room for heads of " +
                                               std::to_string(kSharedFloats / 5 - 2) + " numbers at most, not of " +
                                               std::to_string(config.head_dim)};
  }
  Carver measure;
  lay_out_all(measure);
  Carver carver(block_.reserve(measure.bytes()));
  lay_out_all(carver);
  const EngineLease engine;
  engine->stream.upload(const_cast<double*>(inverse_frequencies), config.inverse_frequencies,
                        config.head_dim / 2 * sizeof(double));
  engine->stream.synchronize();
}

void lorakeet_decoder_model::lay_out_all(Carver& carver) {
  inverse_frequencies = carver.take<double>(config.head_dim / 2);
  lay_out(carver, config);
}

bool lorakeet_decoder_model::write(uint32_t layer, uint32_t tensor, uint32_t first_row, uint32_t rows, uint32_t dtype,
                                   const void* values) {
  const Weight to = this->tensor(config, layer, tensor);
  const WeightType from = static_cast<WeightType>(dtype);
  const char* const source = static_cast<const char*>(values);
  if (!all_finite(from, source, rows, to.in, config.threads)) return false;
  const size_t row_bytes = to.in * bytes_of(to.type);
  std::vector<char> converted(from == to.type ? 0 : rows * row_bytes);
  std::vector<float> row_scale(to.row_scale ? rows : 0);
  if (from != to.type) {
    convert_rows(from, source, rows, to.in, config.threads, to.type, converted.data(), row_scale.data());
  }
  const EngineLease engine;
  engine->stream.upload(static_cast<char*>(const_cast<void*>(to.data)) + first_row * row_bytes,
                        from == to.type ? source : converted.data(), rows * row_bytes);
  if (to.row_scale) {
    engine->stream.upload(const_cast<float*>(to.row_scale) + first_row, row_scale.data(), rows * sizeof(float));
  }
  engine->stream.synchronize();
  return true;
}
