// Large zeroed blocks straight from the operating system: physical memory comes only with the first write to a page,
// and huge pages are used where the system grants them.
#pragma once

#include <stddef.h>

namespace lorakeet {

// Zeroed, page-aligned; null when the system has no more.
void* allocate_pages(size_t bytes);
void free_pages(void* block, size_t bytes);

}  // namespace lorakeet
