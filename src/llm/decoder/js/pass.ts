/** Forward and backward of the reference decoder: only what enters each layer is kept, the rest is computed again. */
import { setImmediate } from 'node:timers/promises';
import { fail } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import type {
  DecoderAdapter,
  DecoderPass,
  DecoderShape,
  ForwardOptions,
  ForwardResult,
  LoraTarget,
  TokenBatch,
} from '../contract.js';
import { checkBatch, checkCoefficients, checkForward, checkTrains } from '../validate.js';
import { JsAdapter } from './adapter.js';
import { addRmsNormBackward } from './elementwise.js';
import { backwardOfTarget, logitsOf, logSumExp, sampleToken } from './head.js';
import { type Change, Layer, type Rows } from './layers.js';
import type { JsModel } from './model.js';

/** What a backward needs. */
interface Kept {
  adapter: JsAdapter;
  rows: Rows;
  change: Change;
  positions: Uint32Array;
  labels: Uint32Array;
  coefficients?: Float32Array;
  /** What enters each layer, and what leaves the last. */
  states: Float64Array[];
}

export class JsPass implements DecoderPass {
  readonly #model: JsModel;
  #kept?: Kept;
  #open = true;

  constructor(model: JsModel) {
    this.#model = model;
  }

  async forward(
    adapter: DecoderAdapter | undefined,
    batch: TokenBatch,
    options: ForwardOptions = {},
  ): Promise<ForwardResult> {
    this.#requireOpen();
    checkBatch(this.#model.shape, batch);
    checkForward(options, batch.positions.length);
    const own = adapter === undefined ? undefined : requireAdapter(this.#model, adapter);
    if (options.keep) checkTrains(own?.train ?? false);
    const copy = { tokens: batch.tokens.slice(), offsets: batch.offsets.slice(), positions: batch.positions.slice() };
    const copied = { ...options, coefficients: options.coefficients?.slice() };
    return this.#model.turn(() => this.#forward(own, copy, copied));
  }

  async backward(adapter: DecoderAdapter, coefficients?: Float32Array): Promise<void> {
    this.#requireOpen();
    const own = requireAdapter(this.#model, adapter);
    const copy = coefficients?.slice();
    return this.#model.turn(async () => {
      const kept = this.#kept;
      if (kept?.adapter !== own) {
        throw new LorakeetError('ERR_INVALID_STATE', 'backward: no forward with `keep` and this adapter came before');
      }
      if ((copy === undefined) === (kept.coefficients === undefined)) {
        fail('ERR_INVALID_ARGUMENT', 'coefficients', copy, 'those of forward or those of backward, one of the two');
      }
      if (copy) checkCoefficients('coefficients', copy, kept.positions.length);
      await this.#backward(kept, (copy ?? kept.coefficients) as Float32Array);
      this.#kept = undefined;
    });
  }

  close(): void {
    this.#open = false;
    this.#kept = undefined;
  }

  async #forward(
    adapter: JsAdapter | undefined,
    batch: TokenBatch,
    { keep, coefficients, sampleSeed, dropout = 0, dropoutSeed = 0 }: ForwardOptions,
  ): Promise<ForwardResult> {
    const { shape } = this.#model;
    this.#kept = undefined;
    const rows = rowsOf(batch);
    const change = { adapter, dropout: { rate: dropout, seed: dropoutSeed } };
    const states: Float64Array[] = [];
    let x = embed(this.#model, batch.tokens);
    for (let layer = 0; layer < shape.layers; layer++) {
      states.push(x);
      x = new Layer(this.#model, layer, change).forward(x, rows);
      await setImmediate();
    }
    states.push(x);

    const logProbabilities = new Float32Array(batch.positions.length);
    const labels = new Uint32Array(batch.positions.length);
    batch.positions.forEach((position, i) => {
      const logits = logitsOf(this.#model, rowOf(x, position - 1, shape), 1);
      const normalizer = logSumExp(logits);
      labels[i] = sampleSeed === undefined ? batch.tokens[position] : sampleToken(logits, normalizer, sampleSeed, i);
      logProbabilities[i] = logits[labels[i]] - normalizer;
    });
    if (keep && adapter) {
      this.#kept = {
        adapter,
        rows,
        change,
        positions: batch.positions,
        labels: labels.slice(),
        coefficients,
        states,
      };
    }
    return { logProbabilities, labels };
  }

  async #backward({ rows, change, positions, labels, states }: Kept, coefficients: Float32Array): Promise<void> {
    const { shape } = this.#model;
    const last = states[shape.layers];
    let dx: Float64Array = new Float64Array(last.length);
    positions.forEach((position, i) => {
      const x = rowOf(last, position - 1, shape);
      const dNormed = backwardOfTarget(this.#model, logitsOf(this.#model, x, 1), labels[i], coefficients[i]);
      const d = rowOf(dx, position - 1, shape);
      addRmsNormBackward(d, dNormed, x, this.#model.weight('norm'), shape.rmsNormEps);
    });
    for (let layer = shape.layers - 1; layer >= 0; layer--) {
      dx = new Layer(this.#model, layer, change).backward(dx, states[layer], rows);
      await setImmediate();
    }
  }

  #requireOpen(): void {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'pass: it has been closed');
  }
}

/** What a pass of the reference takes: the states between layers and, of one layer at a time, everything, forward and backward. */
export function passBytes(
  shape: DecoderShape,
  targets: readonly LoraTarget[],
  { tokens }: { tokens: number; sequences: number; targets: number },
): number {
  const { hiddenSize: hidden, intermediateSize: intermediate, headDim } = shape;
  const attention = (3 * shape.heads + 3 * shape.keyValueHeads) * headDim;
  const rank = targets.reduce((most, target) => Math.max(most, target.rank), 0);
  const oneLayer = 2 * (8 * hidden + attention + 5 * intermediate + 2 * rank);
  return Float64Array.BYTES_PER_ELEMENT * (tokens * ((shape.layers + 1) * hidden + oneLayer) + 2 * shape.vocabSize);
}

export function requireAdapter(model: JsModel, adapter: DecoderAdapter): JsAdapter {
  if (!(adapter instanceof JsAdapter) || adapter.model !== model) {
    fail('ERR_INVALID_ARGUMENT', 'adapter', adapter, 'an adapter that this model made');
  }
  adapter.requireOpen();
  return adapter;
}

export function embed(model: JsModel, tokens: Uint32Array): Float64Array {
  const { shape } = model;
  const table = model.weight('embed_tokens');
  const x = new Float64Array(tokens.length * shape.hiddenSize);
  tokens.forEach((token, row) => {
    x.set(table.subarray(token * shape.hiddenSize, (token + 1) * shape.hiddenSize), row * shape.hiddenSize);
  });
  return x;
}

export function rowOf(x: Float64Array, row: number, { hiddenSize }: DecoderShape): Float64Array {
  return x.subarray(row * hiddenSize, (row + 1) * hiddenSize);
}

function rowsOf({ tokens, offsets }: TokenBatch): Rows {
  const positions = new Uint32Array(tokens.length);
  const sequences = Array.from({ length: offsets.length - 1 }, (_, i) => ({
    row: offsets[i],
    rows: offsets[i + 1] - offsets[i],
  }));
  for (const { row, rows } of sequences) for (let t = 0; t < rows; t++) positions[row + t] = t;
  return { count: tokens.length, positions, sequences };
}
