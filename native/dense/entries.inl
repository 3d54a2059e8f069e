// Merging entry by entry: the C++ form of src/kernels/entries.ts. Entries of a few rows are computed, used and
// forgotten while they are in the cache. Each product is stored before anything is added to it, so that no compiler
// makes one rounding of two: sums are those of JavaScript.
#pragma once

#include <math.h>
#include <string.h>

#include "isa.h"
#include "random-words.inl"

namespace {

using namespace lorakeet;

constexpr size_t kEntries = kEntryRows * kEntryColumns;
static_assert(kEntryRows % 2 == 0 && kEntryColumns % 8 == 0, "rows go in pairs, columns in groups");

// Columns of a that are worked on, as doubles: [rank rounded up to kSteps × kEntryColumns], 0 beyond both.
void pack_columns(const lorakeet_summand& s, size_t columns, size_t first, size_t width, double* to) {
  memset(to, 0, packed_rank(s.rank) * kEntryColumns * sizeof(double));
  for (size_t k = 0; k < s.rank; k++, to += kEntryColumns) {
    const float* entry = s.a + k * columns + first;
    for (size_t j = 0; j < width; j++) to[j] = static_cast<double>(entry[j]);
  }
}

// Adds kSteps products to each sum of two rows, one after the other.
void add_products(const double x[2][kSteps], const double* __restrict packed, double* __restrict upper,
                  double* __restrict lower) {
  for (size_t j = 0; j < kEntryColumns; j++) {
    double above = upper[j], below = lower[j];
    for (size_t k = 0; k < kSteps; k++) {
      above += x[0][k] * packed[k * kEntryColumns + j];
      below += x[1][k] * packed[k * kEntryColumns + j];
    }
    upper[j] = above;
    lower[j] = below;
  }
}

// values[r][j] = scale·(b·a)(first + r, j of the packed columns), kEntryColumns apart; 0 for rows ≤ r < kEntryRows
void compute_entries(const lorakeet_summand& s, size_t first, size_t rows, const double* packed, double* values) {
  memset(values, 0, kEntries * sizeof(double));
  for (size_t r = 0; r < rows; r += 2) {
    for (size_t k = 0; k < s.rank; k += kSteps) {
      double x[2][kSteps] = {};
      for (size_t i = 0; i < less(2, rows - r); i++) {
        const float* row = s.b + (first + r + i) * s.rank + k;
        for (size_t step = 0; step < less(kSteps, s.rank - k); step++) x[i][step] = static_cast<double>(row[step]);
      }
      add_products(x, packed + k * kEntryColumns, values + r * kEntryColumns, values + (r + 1) * kEntryColumns);
    }
  }
  if (s.scale != 1) {
    for (size_t i = 0; i < kEntries; i++) values[i] *= s.scale;
  }
}

// Adds a row of entries to the counts: first all at once, then those that are to be binned, which are few.
void count_row(const double* values, size_t width, MagnitudeCount* counts) {
  constexpr size_t kGroup = 8;
  float floats[kEntryColumns];
  uint32_t bits[kEntryColumns];
  for (size_t j = 0; j < kEntryColumns; j++) floats[j] = fabsf(static_cast<float>(values[j]));
  memcpy(bits, floats, sizeof(bits));
  // more of the smallest change nothing
  memset(bits + width, 0, (kEntryColumns - width) * sizeof(uint32_t));
  const uint32_t low = counts->low, high = counts->high, span = high - low;
  uint32_t above = 0, largest = counts->largest;
  uint8_t inside[kEntryColumns];
  for (size_t j = 0; j < kEntryColumns; j++) {
    above += bits[j] > high;
    largest = bits[j] > largest ? bits[j] : largest;
    inside[j] = bits[j] - low <= span;
  }
  counts->above += above;
  counts->largest = largest;
  for (size_t from = 0; from < kEntryColumns; from += kGroup) {
    uint64_t any;
    memcpy(&any, inside + from, kGroup);
    if (!any) continue;
    for (size_t j = from; j < from + kGroup; j++) {
      if (inside[j]) counts->bins[(bits[j] - low) >> counts->shift]++;
    }
  }
}

void count_magnitudes(const lorakeet_summand& product, size_t columns, const EntryRange& range, double* scratch,
                      MagnitudeCount* counts) {
  double* const values = scratch;
  double* const packed = values + kEntries;
  pack_columns(product, columns, range.first_column, range.width, packed);
  for (size_t first = range.first_row; first < range.end_row; first += kEntryRows) {
    const size_t rows = less(kEntryRows, range.end_row - first);
    compute_entries(product, first, rows, packed, values);
    for (size_t r = 0; r < rows; r++) count_row(values + r * kEntryColumns, range.width, counts);
  }
}

// Drops what the summand does not keep and weighs the rest. `at` is the place of the first entry in its matrix.
void weigh_row(const lorakeet_summand& s, uint64_t at, size_t width, double* values) {
  const double threshold = s.threshold, weight = s.weight;
  if (threshold > 0) {
    for (size_t j = 0; j < width; j++) values[j] = fabs(values[j]) < threshold ? 0 : values[j];
  }
  if (s.share < 1) {
    uint32_t words[kEntryColumns + 2];
    random_blocks(s.key, at / 2, width / 2 + 1, words);
    const uint32_t* word = words + at % 2;
    // word < share·2³²
    const uint32_t last = static_cast<uint32_t>(ceil(s.share * 4294967296.0) - 1);
    const double factor = 1 / s.share;
    for (size_t j = 0; j < width; j++) values[j] = word[j] <= last ? values[j] * factor : 0;
  }
  if (weight != 1) {
    for (size_t j = 0; j < width; j++) values[j] *= weight;
  }
}

void sum_entries(const double* values, size_t count, double* out) {
  for (size_t i = 0; i < kEntries; i++) out[i] = 0;
  for (size_t s = 0; s < count; s++, values += kEntries) {
    for (size_t i = 0; i < kEntries; i++) out[i] += values[i];
  }
}

void elect_entries(const double* values, const lorakeet_summand* summands, size_t count, bool by_frequency,
                   double lambda, double* out) {
  constexpr double kTolerance = 1e-6;
  double mass[kEntries] = {}, size[kEntries] = {}, votes[kEntries] = {};
  for (size_t s = 0; s < count; s++) {
    const double* value = values + s * kEntries;
    for (size_t i = 0; i < kEntries; i++) {
      mass[i] += value[i];
      size[i] += fabs(value[i]);
      votes[i] += value[i] > 0 ? 1.0 : value[i] < 0 ? -1.0 : 0.0;
    }
  }
  for (size_t i = 0; i < kEntries; i++) {
    if (fabs(mass[i]) <= kTolerance * size[i]) mass[i] = 0;
    if (by_frequency && votes[i] != 0) mass[i] = votes[i];
    size[i] = out[i] = 0;
  }
  double* const share = size;
  for (size_t s = 0; s < count; s++) {
    const double* value = values + s * kEntries;
    const double weight = fabs(summands[s].weight);
    for (size_t i = 0; i < kEntries; i++) {
      const bool agrees = value[i] * mass[i] > 0;
      out[i] += agrees ? value[i] : 0;
      share[i] += agrees ? weight : 0;
    }
  }
  for (size_t i = 0; i < kEntries; i++) out[i] *= share[i] > 0 ? lambda / share[i] : 1;
}

void merge_entries(const lorakeet_summand* summands, size_t count, size_t columns, const EntryRange& range,
                   lorakeet_election election, double lambda, double* scratch, float* merged) {
  double* const out = scratch;
  double* const values = out + kEntries;
  double* const packed = values + count * kEntries;
  double* next = packed;
  for (size_t s = 0; s < count; s++) {
    pack_columns(summands[s], columns, range.first_column, range.width, next);
    next += packed_rank(summands[s].rank) * kEntryColumns;
  }
  for (size_t first = range.first_row; first < range.end_row; first += kEntryRows) {
    const size_t rows = less(kEntryRows, range.end_row - first);
    const double* columns_of_a = packed;
    for (size_t s = 0; s < count; s++) {
      double* const entries = values + s * kEntries;
      compute_entries(summands[s], first, rows, columns_of_a, entries);
      columns_of_a += packed_rank(summands[s].rank) * kEntryColumns;
      for (size_t r = 0; r < rows; r++) {
        const uint64_t at = static_cast<uint64_t>(first + r) * columns + range.first_column;
        weigh_row(summands[s], at, range.width, entries + r * kEntryColumns);
      }
    }
    if (election == LORAKEET_ELECT_NONE) {
      sum_entries(values, count, out);
    } else {
      elect_entries(values, summands, count, election == LORAKEET_ELECT_FREQUENCY, lambda, out);
    }
    for (size_t r = 0; r < rows; r++) {
      float* row = merged + (first + r) * columns + range.first_column;
      for (size_t j = 0; j < range.width; j++) row[j] = static_cast<float>(out[r * kEntryColumns + j]);
    }
  }
}

}  // namespace
