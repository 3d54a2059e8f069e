/**
 * Random words that are known by their place, so that any part of a mask can be drawn without what comes before it:
 * Threefry-2×32 with 13 rounds (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; the
 * fewest rounds that pass BigCrush). native/dense/random-words.inl is the same in C++. Not for secrets.
 */
export type RandomKey = readonly [number, number];

const ROUNDS = 13;
const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];
const PARITY = 0x1bd11bda;

/** Writes the words of the stream `key` from `first` on: word i is one half of the block with the number ⌊i/2⌋. */
export function fillRandomWords(words: Uint32Array, key: RandomKey, first: number): void {
  const keys = Int32Array.of(key[0], key[1], PARITY ^ key[0] ^ key[1]);
  const start = first - (first % 2);
  for (let pair = start / 2, i = start - first; i < words.length; pair++, i += 2) {
    let x = (pair + keys[0]) | 0;
    let y = (Math.floor(pair / 2 ** 32) + keys[1]) | 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const bits = ROTATIONS[(round - 1) % 8];
      x = (x + y) | 0;
      y = ((y << bits) | (y >>> (32 - bits))) ^ x;
      if (round % 4 > 0) continue;
      const injection = round / 4;
      x = (x + keys[injection % 3]) | 0;
      y = (y + keys[(injection + 1) % 3] + injection) | 0;
    }
    if (i >= 0) words[i] = x;
    if (i + 1 < words.length) words[i + 1] = y;
  }
}
