#include "adapter.h"

#include <math.h>

#include "element_kernels.h"
#include "launch.h"

using namespace lorakeet;
using namespace lorakeet::cuda;
using namespace lorakeet::cuda::decoder;

namespace {

size_t summed_items(size_t count) { return (count + SumSquares::kSummed - 1) / SumSquares::kSummed; }

}  // namespace

lorakeet_decoder_adapter::lorakeet_decoder_adapter(const lorakeet_decoder_model& model,
                                                   const lorakeet_lora_target* given, uint32_t count, bool train)
    : targets(model.config, given, count) {
  const size_t numbers = targets.parameters() * (train ? LORAKEET_ADAPTER_VECTORS : LORAKEET_GRADIENT);
  block_.reserve(numbers * sizeof(float));
  if (train) sums_.reserve(summed_items(targets.parameters()) * sizeof(double));
  const EngineLease engine;
  launch(engine->stream, FillZeros{vector(0), numbers}, stretches(numbers));
  engine->stream.synchronize();
}

void lorakeet_decoder_adapter::write(uint32_t which, uint64_t first, uint64_t count, const float* values) {
  const EngineLease engine;
  engine->stream.upload(vector(which) + first, values, count * sizeof(float));
  engine->stream.synchronize();
}

void lorakeet_decoder_adapter::read(uint32_t which, uint64_t first, uint64_t count, float* values) const {
  const EngineLease engine;
  engine->stream.download(values, vector(which) + first, count * sizeof(float));
  engine->stream.synchronize();
}

bool lorakeet_decoder_adapter::step(const lorakeet_adapter_step& step, double* grad_norm) {
  const size_t count = targets.parameters(), items = summed_items(count);
  std::vector<double> sums(items);
  const EngineLease engine;
  Stream& stream = engine->stream;
  launch(stream, SumSquares{vector(LORAKEET_GRADIENT), count, reinterpret_cast<double*>(sums_.memory())}, items);
  stream.download(sums.data(), sums_.memory(), items * sizeof(double));
  stream.synchronize();
  double total = 0;
  for (const double sum : sums) total += sum;
  const double norm = *grad_norm = sqrt(total);
  if (!isfinite(norm)) {
    launch(stream, FillZeros{vector(LORAKEET_GRADIENT), count}, stretches(count));
    stream.synchronize();
    return false;
  }
  const Adamw adamw = {vector(LORAKEET_PARAMETERS),
                       vector(LORAKEET_GRADIENT),
                       vector(LORAKEET_MOMENT1),
                       vector(LORAKEET_MOMENT2),
                       vector(LORAKEET_FISHER),
                       vector(LORAKEET_ANCHOR),
                       count,
                       static_cast<float>(step.learning_rate),
                       static_cast<float>(step.beta1),
                       static_cast<float>(step.beta2),
                       static_cast<float>(step.epsilon),
                       static_cast<float>(step.weight_decay),
                       norm > step.max_grad_norm ? static_cast<float>(step.max_grad_norm / norm) : 1.0f,
                       static_cast<float>(1 - pow(step.beta1, step.step)),
                       static_cast<float>(1 - pow(step.beta2, step.step)),
                       static_cast<float>(step.learning_rate * step.ewc_lambda)};
  launch(stream, adamw, stretches(count));
  stream.synchronize();
  return true;
}

void lorakeet_decoder_adapter::add_fisher(double weight) {
  const size_t count = targets.parameters();
  const EngineLease engine;
  launch(engine->stream,
         AddSquares{vector(LORAKEET_GRADIENT), vector(LORAKEET_FISHER), count, static_cast<float>(weight)},
         stretches(count));
  engine->stream.synchronize();
}
