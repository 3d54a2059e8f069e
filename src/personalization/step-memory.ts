/** The arrays of an adapter's step in a kernel pool, which one step after another can use. */
import type { UpdateBatch, UpdateReport } from '../kernels/contract.js';
import type { SlabLayout } from '../kernels/layout.js';
import type { StepRows, StepSettings } from './training-step.js';

export class StepMemory {
  readonly slab: Float32Array;
  /** The pool's slot for the adapter, [1], and its step count. */
  readonly slots: Uint32Array;
  readonly steps = new Uint32Array(1);
  readonly report: UpdateReport = {
    loss: new Float32Array(1),
    gradNorm: new Float32Array(1),
    flags: new Uint8Array(1),
  };
  readonly #rowOffsets = new Uint32Array(2);
  readonly #learningRate = new Float32Array(1);
  readonly #maxGradNorm = new Float32Array(1);
  readonly #ewcLambda = new Float32Array(1);
  #rowSlots = new Uint32Array(0);
  #output = new Float32Array(0);

  constructor(layout: SlabLayout, slot: number) {
    this.slab = new Float32Array(layout.slabLength);
    this.slots = Uint32Array.of(slot);
  }

  update({ count, x, target }: StepRows, settings: StepSettings): UpdateBatch {
    this.#rowOffsets[1] = count;
    this.#learningRate[0] = settings.learningRate;
    this.#maxGradNorm[0] = settings.maxGradNorm;
    const batch: UpdateBatch = {
      slots: this.slots,
      rowOffsets: this.#rowOffsets,
      x,
      target,
      learningRate: this.#learningRate,
      maxGradNorm: this.#maxGradNorm,
    };
    if (settings.ewcLambda !== undefined) {
      this.#ewcLambda[0] = settings.ewcLambda;
      batch.ewcLambda = this.#ewcLambda;
    }
    return batch;
  }

  /** For applying the adapter to its rows. */
  apply({ count, x }: StepRows): { slots: Uint32Array; x: Float32Array } {
    if (this.#rowSlots.length < count) this.#rowSlots = new Uint32Array(count).fill(this.slots[0]);
    return { slots: this.#rowSlots.subarray(0, count), x };
  }

  /** [length], for the output of that. */
  output(length: number): Float32Array {
    if (this.#output.length < length) this.#output = new Float32Array(length);
    return this.#output.subarray(0, length);
  }
}
