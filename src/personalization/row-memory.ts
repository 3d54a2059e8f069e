/** Memory for copies of feedback and of adapters on their way to the kernels. */
import { LorakeetError } from '../errors.js';

/** Numbers below which ordinary memory is as good: it is cheap to get, and cheap for a backend to copy. */
const SHORT = 4096;

/**
 * Lends memory and lends it again once it is given back: copying to memory that is in use is about ten times faster than
 * to memory fresh from the operating system. What nobody borrows goes with the next garbage collection.
 *
 * The memory is shared because it then cannot be detached, so that native backends work on it in another thread without
 * a copy of their own.
 */
export class RowMemory {
  #spare: WeakRef<ArrayBufferLike> | undefined;

  /** [length] numbers, of any value. Throws ERR_OUT_OF_MEMORY. */
  take(length: number): Float32Array {
    if (length <= SHORT) return new Float32Array(length);
    const spare = this.#spare?.deref();
    if (spare && spare.byteLength >= 4 * length) {
      this.#spare = undefined;
      return new Float32Array(spare, 0, length);
    }
    try {
      return new Float32Array(new SharedArrayBuffer(4 * length));
    } catch (cause) {
      throw new LorakeetError('ERR_OUT_OF_MEMORY', `no memory for ${length} numbers; nothing was changed`, { cause });
    }
  }

  /** What take() gave, which must not be used any more. */
  give({ buffer }: Float32Array): void {
    if (buffer instanceof SharedArrayBuffer && buffer.byteLength >= (this.#spare?.deref()?.byteLength ?? 0)) {
      this.#spare = new WeakRef(buffer);
    }
  }
}
