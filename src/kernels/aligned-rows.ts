/** Memory for rows that native kernels read fastest. */
import { requireInteger } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { MAX_FEATURES } from './contract.js';
import { misalignment } from './native.js';

/** Bytes in a cache line, and in a vector of the widest instruction set. */
const LINE = 64;

/** Rows of one call are counted in 32 bits. */
const MAX_ROWS = 2 ** 32 - 1;

/**
 * A new array [count × features] of zeros for rows or results of batched calls, whose memory starts at a multiple of 64
 * bytes; where `features` is a multiple of 16, every row does. JavaScript's other arrays start anywhere, and a kernel
 * then touches two cache lines with every vector that it reads of a row. Rows of other widths gain nothing: kernels
 * copy them. The array is a view somewhat inside its `buffer`; without the addon it is an ordinary one.
 *
 * `count` 0 … 2³²−1, `features` 1 … 8192. Throws ERR_INVALID_ARGUMENT or ERR_OUT_OF_MEMORY.
 */
export function alignedRows(count: number, features: number): Float32Array {
  const rows = requireInteger('count', count, 0, MAX_ROWS, 'ERR_INVALID_ARGUMENT');
  const length = rows * requireInteger('features', features, 1, MAX_FEATURES, 'ERR_INVALID_ARGUMENT');
  return alignedFloats(ArrayBuffer, length);
}

/** The `length` numbers from the first multiple of 64 bytes on in a new buffer of that kind. Throws ERR_OUT_OF_MEMORY. */
export function alignedFloats(
  kind: typeof ArrayBuffer | typeof SharedArrayBuffer,
  length: number,
): Float32Array<ArrayBufferLike> {
  try {
    const buffer = new kind(4 * length + LINE);
    const behind = misalignment(new Float32Array(buffer, 0, 1));
    return new Float32Array(buffer, (LINE - behind) % LINE, length);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new LorakeetError('ERR_OUT_OF_MEMORY', `no memory for ${length} numbers; nothing was changed`, { cause });
  }
}
