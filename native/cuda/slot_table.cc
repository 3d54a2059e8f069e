#include "slot_table.h"

#include <string.h>

#include <algorithm>

namespace lorakeet::cuda {
namespace {

// Left free on the device for batches, item tables and other programs.
uint64_t device_reserve(const DeviceMemory& memory) { return std::min<uint64_t>(memory.total / 16, 512 << 20); }

bool device_has(uint64_t bytes) {
  const DeviceMemory memory = device_memory();
  return memory.free >= bytes + device_reserve(memory);
}

uint64_t frames_in(uint64_t bytes, uint64_t frame_bytes, uint64_t least, uint64_t most) {
  return std::min(std::max(bytes / frame_bytes, least), most);
}

}  // namespace

SlotTable::SlotTable(const Model& model, uint32_t capacity, uint64_t device_bytes, uint64_t host_bytes)
    : frame_bytes_(FrameLayout(model).bytes),
      pages_((capacity + kPage - 1ull) / kPage),
      device_(frame_bytes_, frames_in(device_bytes, frame_bytes_, 1, capacity)),
      host_(frame_bytes_, frames_in(host_bytes, frame_bytes_, 0, capacity)) {
  move({nullptr}, {zeros_.reserve(frame_bytes_)}, frame_bytes_);
}

SlotTable::Entry* SlotTable::find(uint32_t slot) const {
  Entry* page = pages_[slot / kPage].get();
  return page ? page + slot % kPage : nullptr;
}

SlotTable::Entry& SlotTable::entry(uint32_t slot) {
  std::unique_ptr<Entry[]>& page = pages_[slot / kPage];
  if (!page) page.reset(new Entry[kPage]);
  return page[slot % kPage];
}

bool SlotTable::holds(uint32_t slot) const {
  const Entry* found = find(slot);
  return found && (found->frame != kNoFrame || found->host != kNoFrame);
}

void SlotTable::begin() {
  call_++;
  named_ = needed_ = created_ = 0;
  paging_ = false;
}

void SlotTable::need(const uint32_t* slots, uint32_t count, Use use) {
  for (uint32_t i = 0; i < count; i++) {
    if (use == Use::kRead && !holds(slots[i])) continue;
    Entry& slot = entry(slots[i]);
    if (slot.call == call_) {
      if (use == Use::kRead) continue;
      throw Failure{LORAKEET_DUPLICATE_SLOT, "slot " + std::to_string(slots[i]) + " stands twice in one call"};
    }
    slot.call = call_;
    named_++;
    if (slot.frame == kNoFrame) needed_++;
    if (slot.frame == kNoFrame && slot.host == kNoFrame) created_++;
  }
}

void SlotTable::reserve() {
  const size_t device_slabs = device_.slabs(), host_slabs = host_.slabs();
  try {
    device_.grow(needed_, device_has);
    owner_.resize(device_.frames(), 0);
    paging_ = device_.free_frames() < needed_;
    if (paging_) reserve_host();
    lists_.reserve(2 * sizeof(void*) * std::max<uint64_t>(named_, 1));
  } catch (...) {
    device_.shrink(device_slabs);
    host_.shrink(host_slabs);
    owner_.resize(device_.frames());
    throw;
  }
}

void SlotTable::reserve_host() {
  if (device_.frames() == 0) throw Failure{LORAKEET_OUT_OF_MEMORY, "the device has no room for one slot"};
  // A call may bring every slot in twice, and each time another may have to make place; one that has been on the host
  // before has its frame there still.
  const uint64_t going = std::min(2 * named_, homeless_ + created_);
  if (host_.room() >= going) host_.grow(going, [](uint64_t) { return true; });
  if (host_.free_frames() < going) {
    throw Failure{LORAKEET_OUT_OF_MEMORY, "neither the device nor the host has room for so many slots"};
  }
}

void SlotTable::resolve(const uint32_t* slots, uint32_t count, Use use, void** memory) {
  tick_++;
  std::vector<uint32_t> absent;
  for (uint32_t i = 0; i < count; i++) {
    Entry* slot = use == Use::kRead ? find(slots[i]) : &entry(slots[i]);
    if (!slot || slot->used == tick_) continue;
    slot->used = tick_;
    if (slot->frame == kNoFrame && (use != Use::kRead || slot->host != kNoFrame)) absent.push_back(slots[i]);
  }
  if (!absent.empty()) bring(absent, use);
  for (uint32_t i = 0; i < count; i++) {
    Entry* slot = find(slots[i]);
    if (slot && use != Use::kRead) slot->dirty = true;
    memory[i] = slot && slot->frame != kNoFrame ? device_[slot->frame] : zeros_.memory();
  }
}

// Frames are filled first and handed out then: when that fails, nothing has changed.
void SlotTable::bring(const std::vector<uint32_t>& slots, Use use) {
  const uint32_t count = static_cast<uint32_t>(slots.size());
  if (count > device_.free_frames()) evict(count - device_.free_frames());
  std::vector<uint32_t> frames;
  std::vector<const void*> from;
  std::vector<void*> to;
  frames.reserve(count);
  for (const uint32_t slot : slots) {
    const uint32_t host = entry(slot).host;
    frames.push_back(device_.take());
    if (use == Use::kReplace) continue;
    from.push_back(host == kNoFrame ? nullptr : host_[host]);
    to.push_back(device_[frames.back()]);
  }
  try {
    move(from, to, frame_bytes_);
  } catch (...) {
    for (const uint32_t frame : frames) device_.give_back(frame);
    throw;
  }
  for (uint32_t i = 0; i < count; i++) {
    Entry& slot = entry(slots[i]);
    if (slot.host == kNoFrame) homeless_++;
    slot.frame = frames[i];
    slot.dirty = false;
    owner_[frames[i]] = slots[i];
  }
}

void SlotTable::locate(const uint32_t* slots, uint32_t count, const void** memory) const {
  for (uint32_t i = 0; i < count; i++) {
    const Entry* slot = find(slots[i]);
    memory[i] = !slot                     ? zeros_.memory()
                : slot->frame != kNoFrame ? device_[slot->frame]
                : slot->host != kNoFrame  ? host_[slot->host]
                                          : zeros_.memory();
  }
}

void SlotTable::clear(const uint32_t* slots, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    Entry* slot = find(slots[i]);
    if (!slot) continue;
    if (slot->frame != kNoFrame) device_.give_back(slot->frame);
    if (slot->frame != kNoFrame && slot->host == kNoFrame) homeless_--;
    if (slot->host != kNoFrame) host_.give_back(slot->host);
    slot->frame = slot->host = kNoFrame;
    slot->dirty = false;
  }
}

void SlotTable::evict(uint32_t count) {
  struct Move {
    uint32_t frame, host;
  };
  std::vector<Move> moves;
  std::vector<const void*> from;
  std::vector<void*> to;
  moves.reserve(count);
  while (moves.size() < count) {
    const uint32_t frame = next_victim(count - static_cast<uint32_t>(moves.size()));
    const Entry& slot = entry(owner_[frame]);
    moves.push_back({frame, slot.host == kNoFrame ? host_.take() : slot.host});
    if (slot.host != kNoFrame && !slot.dirty) continue;
    from.push_back(device_[frame]);
    to.push_back(host_[moves.back().host]);
  }
  try {
    move(from, to, frame_bytes_);
  } catch (...) {
    for (const Move& one : moves) {
      if (entry(owner_[one.frame]).host == kNoFrame) host_.give_back(one.host);
    }
    victims_.clear();
    throw;
  }
  for (const Move& one : moves) {
    Entry& slot = entry(owner_[one.frame]);
    if (slot.host == kNoFrame) homeless_--;
    slot.host = one.host;
    slot.frame = kNoFrame;
    slot.dirty = false;
    device_.give_back(one.frame);
  }
}

uint32_t SlotTable::next_victim(uint32_t wanted) {
  for (;;) {
    while (!victims_.empty()) {
      const Victim victim = victims_.back();
      victims_.pop_back();
      const Entry& slot = entry(owner_[victim.frame]);
      if (slot.frame == victim.frame && slot.used == victim.used) return victim.frame;
    }
    find_victims(wanted);
  }
}

// One look over all frames finds a sixteenth of them, so that each eviction pays for sixteen frames looked at.
void SlotTable::find_victims(uint32_t wanted) {
  for (uint32_t frame = 0; frame < device_.frames(); frame++) {
    const Entry* slot = find(owner_[frame]);
    if (slot && slot->frame == frame && slot->used != tick_) victims_.push_back({slot->used, frame});
  }
  if (victims_.empty())
    throw Failure{LORAKEET_DEVICE_FAILURE, "more slots were resolved at once than there are frames"};
  const size_t kept = std::min<size_t>(victims_.size(), std::max(wanted, device_.frames() / 16));
  const auto older = [](const Victim& a, const Victim& b) { return a.used < b.used; };
  std::nth_element(victims_.begin(), victims_.begin() + kept - 1, victims_.end(), older);
  victims_.resize(kept);
  std::sort(victims_.rbegin(), victims_.rend(), older);
}

void SlotTable::move(const std::vector<const void*>& from, const std::vector<void*>& to, uint64_t bytes) {
  if (from.empty()) return;
  const uint64_t list = from.size() * sizeof(void*);
  char* lists = lists_.reserve(2 * list);
  memcpy(lists, from.data(), list);
  memcpy(lists + list, to.data(), list);
  const MoveBatch batch = {static_cast<uint32_t>(from.size()), bytes, reinterpret_cast<const void* const*>(lists),
                           reinterpret_cast<void* const*>(lists + list)};
  stream_.launch(batch);
  stream_.synchronize();
}

}  // namespace lorakeet::cuda
