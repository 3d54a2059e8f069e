#include "entries.h"

#include <string.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <vector>

#include "../cpu/crew.h"

namespace lorakeet {
namespace {

// Rows that one worker takes at a time: enough to make up for packing its columns.
constexpr size_t kStripRows = 512;
// Enough for all float32 from one to the next bracket of a sample; 8 MB.
constexpr uint32_t kMaxBins = 1 << 20, kMinBins = 1 << 12;
constexpr uint32_t kAllBits = 0x7fffffff;

// Runs body(worker, range) for all parts of the matrix.
class Parts {
 public:
  Parts(size_t rows, size_t columns, size_t rank_sum, uint32_t threads)
      : rows_(rows),
        columns_(columns),
        strips_((rows + kStripRows - 1) / kStripRows),
        count_(strips_ * ((columns + kEntryColumns - 1) / kEntryColumns)),
        // an entry's own work is that of some more products
        workers_(
            workers_for(static_cast<double>(rows) * static_cast<double>(columns) * (static_cast<double>(rank_sum) + 8),
                        count_, threads)) {}

  uint32_t workers() const { return workers_; }

  void run(const std::function<void(uint32_t, const EntryRange&)>& body) const {
    std::atomic<size_t> next{0};
    run_crew(workers_, [&](uint32_t worker) {
      for (size_t part; (part = next.fetch_add(1)) < count_;) {
        const size_t row = part % strips_ * kStripRows, column = part / strips_ * kEntryColumns;
        body(worker, {row, std::min(row + kStripRows, rows_), column, std::min(kEntryColumns, columns_ - column)});
      }
    });
  }

 private:
  size_t rows_, columns_, strips_, count_;
  uint32_t workers_;
};

// Working memory of each worker, on whole cache lines: vectors that lie across two cost twice as much.
class Scratch {
 public:
  // The entries of each summand and of the result, and the packed columns of `ranks` rows.
  Scratch(uint32_t workers, size_t count, size_t ranks)
      : size_((count + 1) * kEntryRows * kEntryColumns + ranks * kEntryColumns), memory_(workers * size_ + kLine) {}

  double* of(uint32_t worker) {
    double* start = memory_.data();
    while (reinterpret_cast<uintptr_t>(start) % (kLine * sizeof(double))) start++;
    return start + worker * size_;
  }

 private:
  static constexpr size_t kLine = 8;
  size_t size_;
  std::vector<double> memory_;
};

uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits & kAllBits;
}

float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// A bracket that the count-th largest magnitude most probably lies in, from entries at scattered places.
void guess_bracket(size_t rows, size_t columns, const lorakeet_summand& product, uint64_t count,
                   MagnitudeCount* counts) {
  constexpr size_t kSamples = 16384;
  std::vector<uint32_t> samples(kSamples);
  uint64_t state = 1;
  const auto below = [&state](size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
    return static_cast<size_t>(static_cast<double>(state >> 11) / 9007199254740992.0 * static_cast<double>(n));
  };
  for (uint32_t& sample : samples) {
    const size_t row = below(rows), column = below(columns);
    double sum = 0;
    for (size_t k = 0; k < product.rank; k++) {
      sum += static_cast<double>(product.b[row * product.rank + k]) * product.a[k * columns + column];
    }
    sample = bits_of(static_cast<float>(sum * product.scale));
  }
  std::sort(samples.begin(), samples.end(), [](uint32_t a, uint32_t b) { return a > b; });
  const double share = static_cast<double>(count) / (static_cast<double>(rows) * static_cast<double>(columns));
  const double rank = share * kSamples, margin = 4 * std::sqrt(rank * (1 - share)) + 4;
  counts->high = rank - margin < 0 ? kAllBits : samples[static_cast<size_t>(rank - margin)];
  counts->low = rank + margin >= kSamples ? 0 : samples[static_cast<size_t>(rank + margin)];
}

}  // namespace

uint32_t workers_for(double work, size_t parts, uint32_t threads) {
  const double worthwhile =
      std::min<double>({work / 1e6 + 1, static_cast<double>(parts), static_cast<double>(threads)});
  return static_cast<uint32_t>(std::max(1.0, worthwhile));
}

// Counts the magnitudes in bins between two bounds and goes on in the bin that has the one wanted, until a bin is one
// float32. Bounds from a sample make that one pass nearly always; if they are wrong, all float32 are the next.
void find_magnitude(const DenseKernels& isa, size_t rows, size_t columns, const lorakeet_summand& product,
                    uint64_t count, float found[2], uint32_t threads) {
  const Parts parts(rows, columns, product.rank, threads);
  Scratch scratch(parts.workers(), 1, packed_rank(product.rank));
  std::vector<std::vector<uint64_t>> bins(parts.workers());
  const double entries = static_cast<double>(rows) * static_cast<double>(columns);
  const uint32_t most_bins = static_cast<uint32_t>(std::min<double>(kMaxBins, std::max<double>(kMinBins, entries)));
  MagnitudeCount sought{};
  sought.high = kAllBits;
  // for few entries a sample costs more than it spares
  if (most_bins == kMaxBins) guess_bracket(rows, columns, product, count, &sought);
  for (;;) {
    while ((sought.high - sought.low) >> sought.shift >= most_bins) sought.shift++;
    const size_t bin_count = ((sought.high - sought.low) >> sought.shift) + 1;
    std::vector<MagnitudeCount> counts(parts.workers(), sought);
    for (size_t i = 0; i < counts.size(); i++) {
      bins[i].assign(bin_count, 0);
      counts[i].bins = bins[i].data();
    }
    parts.run([&](uint32_t worker, const EntryRange& range) {
      isa.count_magnitudes(product, columns, range, scratch.of(worker), &counts[worker]);
    });
    uint64_t above = 0;
    for (size_t i = 0; i < counts.size(); i++) {
      above += counts[i].above;
      sought.largest = std::max(sought.largest, counts[i].largest);
      if (i == 0) continue;
      std::transform(bins[0].begin(), bins[0].end(), bins[i].begin(), bins[0].begin(), std::plus<uint64_t>());
    }
    size_t bin = bin_count;
    while (above < count && bin > 0) above += bins[0][--bin];
    if (above < count || bin == bin_count) {
      sought.low = sought.shift = 0;
      sought.high = kAllBits;
      continue;
    }
    const uint32_t low = sought.low + (static_cast<uint32_t>(bin) << sought.shift);
    if (sought.shift == 0) {
      found[0] = float_of(low);
      found[1] = float_of(sought.largest);
      return;
    }
    sought.high = std::min(sought.high, low + ((uint32_t{1} << sought.shift) - 1));
    sought.low = low;
    sought.shift = 0;
  }
}

void merge_all_entries(const DenseKernels& isa, size_t rows, size_t columns, const lorakeet_summand* summands,
                       size_t count, lorakeet_election election, double lambda, float* merged, uint32_t threads) {
  size_t rank_sum = 0;
  for (size_t i = 0; i < count; i++) rank_sum += packed_rank(summands[i].rank);
  const Parts parts(rows, columns, rank_sum, threads);
  Scratch scratch(parts.workers(), count, rank_sum);
  parts.run([&](uint32_t worker, const EntryRange& range) {
    isa.merge_entries(summands, count, columns, range, election, lambda, scratch.of(worker), merged);
  });
}

}  // namespace lorakeet
