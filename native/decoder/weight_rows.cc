#include "weight_rows.h"

#include <math.h>
#include <string.h>

#include <atomic>

#include "half.h"
#include "spread.h"

namespace lorakeet {
namespace {

// Numbers that are converted at a time.
constexpr size_t kChunk = 512;

template <typename T>
T entry(const char* values, size_t i) {
  T value;
  memcpy(&value, values + i * sizeof(T), sizeof(T));
  return value;
}

void write_floats(WeightType type, const float* floats, size_t count, char* to, size_t first, float scale) {
  for (size_t i = 0; i < count; i++) {
    switch (type) {
      case WeightType::kF32:
        reinterpret_cast<float*>(to)[first + i] = floats[i];
        break;
      case WeightType::kBf16:
        reinterpret_cast<Bf16*>(to)[first + i] = nearest(floats[i]);
        break;
      case WeightType::kF16:
        reinterpret_cast<Half*>(to)[first + i] = nearest_half(floats[i]);
        break;
      case WeightType::kInt8: {
        // a quotient may be a rounding error above the largest
        const float rounded = nearbyintf(floats[i] / scale);
        reinterpret_cast<int8_t*>(to)[first + i] = static_cast<int8_t>(fminf(fmaxf(rounded, -127.0f), 127.0f));
        break;
      }
    }
  }
}

// The largest magnitude of a row becomes 127; a row of zeros keeps the scale 1.
float row_scale_of(WeightType type, const char* values, size_t first, size_t count) {
  float most = 0, floats[kChunk];
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t n = count - at < kChunk ? count - at : kChunk;
    read_floats(type, values, first + at, n, floats);
    for (size_t i = 0; i < n; i++) most = fabsf(floats[i]) > most ? fabsf(floats[i]) : most;
  }
  return most > 0 ? most / 127.0f : 1.0f;
}

bool all_finite_row(WeightType type, const char* values, size_t first, size_t count) {
  // x − x is 0 for every finite x, and NaN for NaN and both infinities
  float zero = 0, floats[kChunk];
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t n = count - at < kChunk ? count - at : kChunk;
    read_floats(type, values, first + at, n, floats);
    for (size_t i = 0; i < n; i++) zero += floats[i] - floats[i];
  }
  return zero == 0;
}

}  // namespace

size_t bytes_of(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return sizeof(float);
    case WeightType::kInt8:
      return sizeof(int8_t);
    default:
      return sizeof(uint16_t);
  }
}

void read_floats(WeightType type, const char* values, size_t first, size_t count, float* floats) {
  for (size_t i = 0; i < count; i++) {
    switch (type) {
      case WeightType::kF32:
        floats[i] = entry<float>(values, first + i);
        break;
      case WeightType::kBf16:
        floats[i] = to_float(entry<Bf16>(values, first + i));
        break;
      case WeightType::kF16:
        floats[i] = to_float(entry<Half>(values, first + i));
        break;
      case WeightType::kInt8:
        floats[i] = static_cast<float>(entry<int8_t>(values, first + i));
        break;
    }
  }
}

bool all_finite(WeightType type, const char* values, size_t rows, size_t columns, uint32_t threads) {
  std::atomic<bool> finite{true};
  for_rows(threads, rows, columns, [&](size_t row) {
    if (!all_finite_row(type, values, row * columns, columns)) finite = false;
  });
  return finite;
}

void convert_rows(WeightType from_type, const char* from, size_t rows, size_t columns, uint32_t threads,
                  WeightType to_type, char* to, float* row_scale) {
  for_rows(threads, rows, columns, [&](size_t row) {
    const size_t first = row * columns;
    if (from_type == to_type) {
      const size_t size = bytes_of(from_type);
      memcpy(to + first * size, from + first * size, columns * size);
      return;
    }
    const float scale = to_type == WeightType::kInt8 ? row_scale_of(from_type, from, first, columns) : 1.0f;
    if (to_type == WeightType::kInt8) row_scale[row] = scale;
    float floats[kChunk];
    for (size_t at = 0; at < columns; at += kChunk) {
      const size_t count = columns - at < kChunk ? columns - at : kChunk;
      read_floats(from_type, from, first + at, count, floats);
      write_floats(to_type, floats, count, to, first + at, scale);
    }
  });
}

}  // namespace lorakeet
