/** Words as a direction: texts that share many letter triples point the same way. No model, no network, always the same. */

export const TEXT_DIMENSIONS = 28;

/**
 * Writes the unit vector of `text` to `rows` from `offset` on (zeros for an empty text). Every run of three letters, the
 * blanks around the text included, adds ±1 to the dimension that its hash names (feature hashing, Weinberger et al. 2009:
 * the sign keeps collisions from adding up).
 */
export function writeTextVector(text: string, rows: Float32Array, offset: number): void {
  const end = offset + TEXT_DIMENSIONS;
  rows.fill(0, offset, end);
  const padded = ` ${text.toLowerCase()} `;
  for (let i = 0; i + 3 <= padded.length; i++) {
    const hash = hashOf(padded, i, i + 3);
    rows[offset + (hash % TEXT_DIMENSIONS)] += hash & 0x40000000 ? 1 : -1;
  }
  let norm = 0;
  for (let j = offset; j < end; j++) norm += rows[j] * rows[j];
  if (norm === 0) return;
  const scale = 1 / Math.sqrt(norm);
  for (let j = offset; j < end; j++) rows[j] *= scale;
}

/** FNV-1a with a final mix, so that the low bits depend on every letter: 0 … 2³² − 1. */
export function hashOf(text: string, from = 0, to = text.length): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
