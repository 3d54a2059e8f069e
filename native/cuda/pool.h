// The pool behind kernels.h on a device: the operations, cut into pieces that fit the lanes and the device.
#pragma once

#include <array>

#include "lane.h"
#include "slot_table.h"

struct lorakeet_pool {
 public:
  explicit lorakeet_pool(const lorakeet_pool_config& config);

  // The operations of kernels.h; failures are thrown as lorakeet::cuda::Failure.
  void write(const uint32_t* slots, uint32_t count, const float* slabs, const uint32_t* steps);
  void read(const uint32_t* slots, uint32_t count, float* slabs, uint32_t* steps);
  void copy(const uint32_t* from, const uint32_t* to, uint32_t count);
  void clear(const uint32_t* slots, uint32_t count) { table_.clear(slots, count); }
  void bind_items(const float* matrix, uint32_t items);
  void apply(const lorakeet_apply_batch& batch, float* y);
  void update(const lorakeet_update_batch& batch, const lorakeet_update_report& report);
  void consolidate(const lorakeet_consolidate_batch& batch);
  uint64_t memory_bytes() const;

 private:
  using Lane = lorakeet::cuda::Lane;
  using Use = lorakeet::cuda::SlotTable::Use;
  template <class Source>
  using Buffer = lorakeet::cuda::Buffer<Source>;

  struct Piece {
    uint32_t first, count;
    uint64_t bytes;
  };

  // Elements 0 … count − 1 in pieces of about kPieceBytes, bytes(i) being what element i takes in a lane.
  template <class Bytes>
  std::vector<Piece> cut(uint32_t count, Bytes bytes) const;
  // Runs run(lane, piece) for every piece, with the lanes in turn, and waits for all of them.
  template <class Run>
  void in_turn(const std::vector<Piece>& pieces, Run run);

  lorakeet::cuda::Rows put_rows(Lane& lane, const lorakeet_rows& rows, uint32_t first, uint32_t count,
                                uint32_t features) const;
  uint64_t row_bytes(const lorakeet_rows& rows, uint32_t features) const;
  void** put_frames(Lane& lane, const uint32_t* slots, uint32_t count, Use use);
  const float* put_coefficients(Lane& lane, const lorakeet_update_batch& batch, Piece piece) const;
  void update_piece(Lane& lane, Piece piece, const lorakeet_update_batch& batch, const lorakeet_update_report& report);
  void consolidate_piece(Lane& lane, Piece piece, const lorakeet_consolidate_batch& batch, bool commit, bool* bad);
  // How many clusters to launch for `users`, none of whom has more than `chunk` rows at a time.
  uint32_t clusters_for(uint32_t users, uint32_t chunk);

  const lorakeet::cuda::Model model_;
  const lorakeet::cuda::FrameLayout layout_;
  const lorakeet::cuda::Plan plan_;
  const uint64_t scratch_floats_;  // of one cluster
  const float learning_rate_, max_grad_norm_, ewc_lambda_;
  lorakeet::cuda::SlotTable table_;
  Lane lanes_[2];
  Buffer<lorakeet::cuda::OnDevice> items_, scratch_[2];
  std::array<uint32_t, lorakeet::cuda::kChunk + 1> concurrent_ = {};  // clusters, by rows in a chunk; 0: not yet asked
};
