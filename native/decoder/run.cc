#include "run.h"

#include <math.h>

#include "spread.h"

namespace lorakeet {

void fill_angles(const Model& model, size_t first, size_t last, float* cosines, float* sines) {
  const size_t half = model.inverse_frequencies.size();
  for_rows(model.config.threads, last - first, half * 32 /* a cosine costs as much */, [&](size_t row) {
    const size_t position = first + row;
    for (size_t i = 0; i < half; i++) {
      const double angle = static_cast<double>(position) * model.inverse_frequencies[i];
      cosines[position * half + i] = static_cast<float>(cos(angle));
      sines[position * half + i] = static_cast<float>(sin(angle));
    }
  });
}

}  // namespace lorakeet
