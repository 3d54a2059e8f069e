#include "memory.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace lorakeet {

#if defined(_WIN32)

void* allocate_pages(size_t bytes) { return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
void free_pages(void* block, size_t) { VirtualFree(block, 0, MEM_RELEASE); }

#else

void* allocate_pages(size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes >= kHugePage) madvise(block, bytes, MADV_HUGEPAGE);  // a hint: refusal costs nothing
#endif
  return block;
}

void free_pages(void* block, size_t bytes) { munmap(block, bytes); }

#endif

}  // namespace lorakeet
