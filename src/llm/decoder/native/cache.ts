/** Decoding with the native decoder. */
import { requireInteger } from '../../../checks.js';
import { coded, codedAsync } from '../../../kernels/addon.js';
import type { DecodeEntry, DecoderCache } from '../contract.js';
import { checkEntries } from '../validate.js';
import { requireAdapter } from './adapter.js';
import type { DecoderAddon } from './addon.js';
import { Handle } from './handle.js';
import type { NativeModel } from './model.js';
import { inTurn } from './turns.js';

export class NativeCache implements DecoderCache {
  readonly sequences: number;
  readonly positions: number;
  readonly #addon: DecoderAddon;
  readonly #model: NativeModel;
  readonly #handle: Handle;
  readonly #lengths: Uint32Array;

  constructor(addon: DecoderAddon, model: NativeModel, sequences: number, positions: number) {
    this.sequences = sequences;
    this.positions = positions;
    this.#addon = addon;
    this.#model = model;
    this.#lengths = new Uint32Array(sequences);
    const number = coded(() => addon.createCache(model.handle.number, sequences, positions));
    this.#handle = new Handle('cache', number, (closed) => addon.closeCache(closed));
  }

  length(sequence: number): number {
    return this.#lengths[requireInteger('sequence', sequence, 0, this.sequences - 1, 'ERR_OUT_OF_RANGE')];
  }

  truncate(sequence: number, length: number): void {
    const { number } = this.#handle;
    requireInteger('length', length, 0, this.length(sequence), 'ERR_OUT_OF_RANGE');
    coded(() => this.#addon.truncateCache(number, sequence, length));
    this.#lengths[sequence] = length;
  }

  async decode(entries: readonly DecodeEntry[]): Promise<Float32Array> {
    this.#handle.number;
    checkEntries(this.#model.shape, entries, this);
    const copies = entries.map(({ sequence, tokens, adapter }) => ({
      sequence,
      tokens: tokens.slice(),
      adapter: adapter && requireAdapter(this.#model, adapter),
    }));
    const adapters = new Set(copies.flatMap(({ adapter }) => adapter?.handle.turns ?? []));
    const call = async () => {
      checkEntries(this.#model.shape, copies, this); // an earlier call may have filled it
      const numbers = copies.flatMap((entry) => [
        entry.sequence,
        entry.tokens.length,
        entry.adapter?.handle.number ?? 0,
      ]);
      const tokens = Uint32Array.from(copies.flatMap((entry) => [...entry.tokens]));
      const logits = await this.#addon.decode(this.#handle.number, Uint32Array.from(numbers), tokens);
      for (const entry of copies) this.#lengths[entry.sequence] += entry.tokens.length;
      return logits;
    };
    return codedAsync(inTurn({ changes: [this.#handle.turns], reads: [...adapters] }, call));
  }

  close(): void {
    this.#handle.close();
  }
}
