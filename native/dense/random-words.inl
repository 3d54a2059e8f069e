// Random words that are known by their place: the C++ form of src/kernels/random-words.ts, where the method and its
// source stand.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace {

inline void mix(uint32_t& x, uint32_t& y, int bits) {
  x += y;
  y = ((y << bits) | (y >> (32 - bits))) ^ x;
}

// Both words of the blocks from `first` on, `blocks` of them; written out so that compilers work on many at once.
void random_blocks(const uint32_t key[2], uint64_t first, size_t blocks, uint32_t* words) {
  const uint32_t k0 = key[0], k1 = key[1], k2 = 0x1bd11bda ^ k0 ^ k1;
  for (size_t i = 0; i < blocks; i++) {
    const uint64_t block = first + i;
    uint32_t x = static_cast<uint32_t>(block) + k0, y = static_cast<uint32_t>(block >> 32) + k1;
    mix(x, y, 13), mix(x, y, 15), mix(x, y, 26), mix(x, y, 6);
    x += k1, y += k2 + 1;
    mix(x, y, 17), mix(x, y, 29), mix(x, y, 16), mix(x, y, 24);
    x += k2, y += k0 + 2;
    mix(x, y, 13), mix(x, y, 15), mix(x, y, 26), mix(x, y, 6);
    x += k0, y += k1 + 3;
    mix(x, y, 17);
    words[2 * i] = x;
    words[2 * i + 1] = y;
  }
}

}  // namespace
