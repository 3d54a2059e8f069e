/** Memory for copies of feedback and of adapters on their way to the kernels. */
import { alignedFloats } from '../kernels/aligned-rows.js';

/** Numbers below which ordinary memory is as good: it is cheap to get, and cheap for a backend to copy. */
const SHORT = 4096;

/**
 * Lends memory and lends it again once it is given back: copying to memory that is in use is about ten times faster than
 * to memory fresh from the operating system. What nobody borrows goes with the next garbage collection.
 *
 * The memory is shared because it then cannot be detached, so that native backends work on it in another thread without
 * a copy of their own. It starts on a cache line, as kernels like it.
 */
export class RowMemory {
  #spare: WeakRef<ArrayBufferLike> | undefined;
  /** Where numbers start in the spare memory. */
  #start = 0;

  /** [length] numbers, of any value. Throws ERR_OUT_OF_MEMORY. */
  take(length: number): Float32Array {
    if (length <= SHORT) return new Float32Array(length);
    const spare = this.#spare?.deref();
    if (spare && spare.byteLength - this.#start >= 4 * length) {
      this.#spare = undefined;
      return new Float32Array(spare, this.#start, length);
    }
    return alignedFloats(SharedArrayBuffer, length);
  }

  /** What take() gave, which must not be used any more. */
  give({ buffer, byteOffset }: Float32Array): void {
    if (buffer instanceof SharedArrayBuffer && buffer.byteLength >= (this.#spare?.deref()?.byteLength ?? 0)) {
      this.#spare = new WeakRef(buffer);
      this.#start = byteOffset;
    }
  }
}
