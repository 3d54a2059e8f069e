/**
 * Slot memory of the js backend: one Float32Array per slot in use, so that a large capacity costs nothing.
 *
 * A slot is laid out like a slab (layout.ts), except that loraB is kept transposed, [rank × out]: every loop over
 * features, of A and of B, then runs along contiguous memory. Slabs are converted when they come in or go out.
 */
import { LorakeetError } from '../errors.js';
import { roundToNearest } from './bf16.js';
import type { PoolConfig } from './contract.js';
import { type SlabLayout, sectionView } from './layout.js';

export interface SlotState {
  values: Float32Array;
  /** Optimizer steps taken. */
  step: number;
  /** Consolidations since the slot was written. */
  consolidations: number;
}

export class SlotStore {
  readonly #config: Readonly<PoolConfig>;
  readonly #layout: SlabLayout;
  readonly #states = new Map<number, SlotState>();
  /** What a slot that was never written holds; read only. */
  readonly #zero: SlotState;

  constructor(config: Readonly<PoolConfig>, layout: SlabLayout) {
    this.#config = config;
    this.#layout = layout;
    this.#zero = this.#newState();
  }

  /** Of the numbers in use. */
  get bytes(): number {
    return this.#states.size * this.#zero.values.byteLength;
  }

  /** The slot's state, for reading only. */
  peek(slot: number): Readonly<SlotState> {
    return this.#states.get(slot) ?? this.#zero;
  }

  /** Gives every listed slot memory of its own and returns their states; ERR_OUT_OF_MEMORY changes nothing. */
  claim(slots: Uint32Array): SlotState[] {
    const created: number[] = [];
    try {
      return Array.from(slots, (slot) => {
        let state = this.#states.get(slot);
        if (!state) {
          state = this.#newState();
          this.#states.set(slot, state);
          created.push(slot);
        }
        return state;
      });
    } catch (cause) {
      for (const slot of created) this.#states.delete(slot);
      throw new LorakeetError('ERR_OUT_OF_MEMORY', `no memory for ${slots.length} slots`, { cause });
    }
  }

  write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    this.claim(slots).forEach((state, index) => {
      const slab = slabs.subarray(index * this.#layout.slabLength, (index + 1) * this.#layout.slabLength);
      this.#convert(slab, state.values, 'in');
      if (this.#config.stateDtype === 'bf16') this.#roundState(state.values);
      state.step = steps[index];
      state.consolidations = 0;
    });
  }

  read(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    slots.forEach((slot, index) => {
      const state = this.peek(slot);
      const slab = slabs.subarray(index * this.#layout.slabLength, (index + 1) * this.#layout.slabLength);
      this.#convert(state.values, slab, 'out');
      steps[index] = state.step;
    });
  }

  copy(from: Uint32Array, to: Uint32Array): void {
    this.claim(to).forEach((state, index) => {
      const source = this.peek(from[index]);
      state.values.set(source.values);
      state.step = source.step;
      state.consolidations = source.consolidations;
    });
  }

  clear(slots: Uint32Array): void {
    for (const slot of slots) this.#states.delete(slot);
  }

  clearAll(): void {
    this.#states.clear();
  }

  #newState(): SlotState {
    return { values: new Float32Array(this.#layout.slabLength), step: 0, consolidations: 0 };
  }

  #roundState(values: Float32Array): void {
    for (const section of ['fisher', 'anchor'] as const) {
      const view = sectionView(this.#layout, values, section);
      if (view) roundToNearest(view);
    }
  }

  /** Copies a slab section by section, transposing the B part. */
  #convert(from: Float32Array, to: Float32Array, direction: 'in' | 'out'): void {
    const { rank, outFeatures } = this.#config;
    const { sections, parameterCount, loraALength } = this.#layout;
    const [rows, columns] = direction === 'in' ? [outFeatures, rank] : [rank, outFeatures];
    for (let section = 0; section < sections.length; section++) {
      const a = section * parameterCount;
      const b = a + loraALength;
      to.set(from.subarray(a, b), a);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) to[b + column * rows + row] = from[b + row * columns + column];
      }
    }
  }
}
