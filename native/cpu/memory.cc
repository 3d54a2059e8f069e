#include "memory.h"

#include <stdint.h>

#include <new>
#include <utility>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace lorakeet {

#if defined(_WIN32)

namespace {

char* reserve(size_t bytes) { return static_cast<char*>(VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_READWRITE)); }
bool commit(char* block, size_t, size_t to) { return VirtualAlloc(block, to, MEM_COMMIT, PAGE_READWRITE) != nullptr; }
void release(char* block, size_t) { VirtualFree(block, 0, MEM_RELEASE); }

}  // namespace

#else

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t whole_huge_pages(size_t bytes) { return bytes & ~(kHugePage - 1); }

char* reserve(size_t bytes) {
  const size_t slack = bytes >= kHugePage ? kHugePage : 0;
  void* mapped = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* block = static_cast<char*>(mapped);
  if (slack) {  // cut to where a huge page begins
    const size_t before =
        whole_huge_pages(reinterpret_cast<uintptr_t>(block) + slack - 1) - reinterpret_cast<uintptr_t>(block);
    if (before > 0) munmap(block, before);
    if (before < slack) munmap(block + before + bytes, slack - before);
    block += before;
#if defined(MADV_NOHUGEPAGE)
    madvise(block, bytes, MADV_NOHUGEPAGE);  // until a huge page is full; see commit
#endif
  }
  return block;
}

// Linux takes pages with the first touch. What is in use from here on in whole huge pages is asked for as such; one
// that was begun in small pages is copied together, or where that is not known (before Linux 6.1) left to the system to
// do.
bool commit(char* block, size_t from, size_t to) {
#if defined(MADV_HUGEPAGE)
  constexpr int kMadviseCollapse = 25;
  const size_t first = whole_huge_pages(from), end = whole_huge_pages(to);
  if (end > first) {
    madvise(block + first, end - first, MADV_HUGEPAGE);  // a hint: refusal costs nothing
    if (from > first) madvise(block + first, kHugePage, kMadviseCollapse);
  }
#else
  (void)block, (void)from, (void)to;
#endif
  return true;
}

void release(char* block, size_t bytes) { munmap(block, bytes); }

}  // namespace

#endif

LazyBlock::LazyBlock(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = reserve(bytes);
  if (!data_) throw std::bad_alloc();
}

LazyBlock::~LazyBlock() {
  if (data_) release(data_, bytes_);
}

LazyBlock::LazyBlock(LazyBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), used_(other.used_) {}

LazyBlock& LazyBlock::operator=(LazyBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(used_, other.used_);
  return *this;
}

void LazyBlock::use(size_t bytes) {
  if (bytes <= used_) return;
  if (!commit(data_, used_, bytes)) throw std::bad_alloc();
  used_ = bytes;
}

}  // namespace lorakeet
