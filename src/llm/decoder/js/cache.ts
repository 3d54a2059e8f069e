/** Keys and values of growing sequences, and decoding with them. */
import { setImmediate } from 'node:timers/promises';
import { requireInteger } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import type { DecodeEntry, DecoderCache, DecoderShape } from '../contract.js';
import { checkEntries } from '../validate.js';
import type { JsAdapter } from './adapter.js';
import { attend } from './attention.js';
import { logitsOf } from './head.js';
import { type Attention, Layer } from './layers.js';
import type { JsModel } from './model.js';
import { embed, requireAdapter, rowOf } from './pass.js';

interface Block {
  keys: Float64Array;
  values: Float64Array;
}

export class JsCache implements DecoderCache {
  readonly sequences: number;
  readonly positions: number;
  readonly #model: JsModel;
  readonly #lengths: Uint32Array;
  /** Of each layer: [sequences × positions × key features]. */
  readonly #blocks: Block[];
  #open = true;

  constructor(model: JsModel, sequences: number, positions: number) {
    model.cacheBytes(sequences, positions); // checks them
    this.sequences = sequences;
    this.positions = positions;
    this.#model = model;
    this.#lengths = new Uint32Array(sequences);
    const { shape } = model;
    const size = sequences * positions * keyFeatures(shape);
    try {
      this.#blocks = Array.from({ length: shape.layers }, () => ({
        keys: new Float64Array(size),
        values: new Float64Array(size),
      }));
    } catch (cause) {
      throw new LorakeetError(
        'ERR_OUT_OF_MEMORY',
        `cache: no memory for ${cacheBytes(shape, sequences, positions)} bytes`,
        {
          cause,
        },
      );
    }
  }

  length(sequence: number): number {
    return this.#lengths[requireInteger('sequence', sequence, 0, this.sequences - 1, 'ERR_OUT_OF_RANGE')];
  }

  truncate(sequence: number, length: number): void {
    this.#requireOpen();
    requireInteger('length', length, 0, this.length(sequence), 'ERR_OUT_OF_RANGE');
    this.#lengths[sequence] = length;
  }

  async decode(entries: readonly DecodeEntry[]): Promise<Float32Array> {
    this.#requireOpen();
    checkEntries(this.#model.shape, entries, this);
    const copies = entries.map(({ sequence, tokens, adapter }) => ({
      sequence,
      tokens: tokens.slice(),
      adapter: adapter && requireAdapter(this.#model, adapter),
    }));
    return this.#model.turn(async () => {
      this.#requireOpen();
      checkEntries(this.#model.shape, copies, this); // an earlier call may have filled it
      const { vocabSize } = this.#model.shape;
      const logits = new Float32Array(copies.length * vocabSize);
      for (const [i, entry] of copies.entries()) logits.set(await this.#extend(entry), i * vocabSize);
      for (const { sequence, tokens } of copies) this.#lengths[sequence] += tokens.length;
      return logits;
    });
  }

  close(): void {
    this.#open = false;
    this.#blocks.length = 0;
  }

  /** The logits after the last token. */
  async #extend(entry: { sequence: number; tokens: Uint32Array; adapter?: JsAdapter }): Promise<Float64Array> {
    const { shape } = this.#model;
    const count = entry.tokens.length;
    const before = this.#lengths[entry.sequence];
    const positions = Uint32Array.from({ length: count }, (_, t) => before + t);
    const rows = { count, positions, sequences: [{ row: 0, rows: count }] };
    let x = embed(this.#model, entry.tokens);
    for (let layer = 0; layer < shape.layers; layer++) {
      const at = new Layer(this.#model, layer, { adapter: entry.adapter });
      x = at.forward(x, rows, this.#attention(entry.sequence, before, count));
      await setImmediate();
    }
    return logitsOf(this.#model, rowOf(x, count - 1, shape), 1);
  }

  #attention(sequence: number, before: number, count: number): Attention {
    return ({ shape }, layer, queries, newKeys, newValues) => {
      const { keys, values } = this.#blocks[layer];
      const first = sequence * this.positions;
      const last = first + before;
      keys.set(newKeys, last * keyFeatures(shape));
      values.set(newValues, last * keyFeatures(shape));
      const out = new Float64Array(queries.length);
      attend(shape, { row: 0, rows: count }, queries, { keys, values, first, last }, out);
      return out;
    };
  }

  #requireOpen(): void {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'cache: it has been closed');
  }
}

export function cacheBytes(shape: DecoderShape, sequences: number, positions: number): number {
  return 2 * shape.layers * sequences * positions * keyFeatures(shape) * Float64Array.BYTES_PER_ELEMENT;
}

function keyFeatures(shape: DecoderShape): number {
  return shape.keyValueHeads * shape.headDim;
}
