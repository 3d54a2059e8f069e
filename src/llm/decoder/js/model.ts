/** The reference decoder: plain loops in double over weights kept as floats, and what runs where no addon does. */

import { arrayFromBytes, type FloatDtype, fromFloat32, toFloat32 } from '../../../adapter/formats/dtypes.js';
import { requireFiniteElements, requireInteger } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import type {
  DecoderBackend,
  DecoderModel,
  DecoderOptions,
  DecoderShape,
  LoraModule,
  LoraTarget,
  WeightDtype,
  WeightName,
} from '../contract.js';
import { adapterLayout, moduleFeatures, weightKey, weightNames, weightSize } from '../layout.js';
import { checkOptions, checkShape, checkTargets, checkWeights } from '../validate.js';
import { WrittenRows } from '../written-rows.js';
import { JsAdapter } from './adapter.js';
import { cacheBytes, JsCache } from './cache.js';
import { JsPass, passBytes } from './pass.js';
import type { Projection } from './projection.js';

const DTYPES = { f32: 'F32', bf16: 'BF16', f16: 'F16' } as const satisfies Record<WeightDtype, FloatDtype>;

export const jsDecoder: DecoderBackend = {
  name: 'js',
  createModel: (shape, options) => new JsModel(shape, options),
};

export class JsModel implements DecoderModel {
  readonly backend = 'js';
  readonly device = 'JavaScript';
  readonly shape: DecoderShape;
  readonly options: DecoderOptions;
  readonly weightBytes: number;
  readonly #weights = new Map<string, Float32Array>();
  readonly #written: WrittenRows;
  #last: Promise<unknown> = Promise.resolve();
  #open = true;

  constructor(shape: DecoderShape, options: DecoderOptions) {
    checkShape(shape);
    checkOptions(options);
    this.shape = { ...shape, biases: [...shape.biases], inverseFrequencies: shape.inverseFrequencies.slice() };
    this.options = { ...options };
    this.#written = new WrittenRows(shape);
    let elements = 0;
    for (const name of weightNames(shape)) {
      const { rows, columns } = weightSize(shape, name);
      elements += rows * columns;
      this.#weights.set(weightKey(name), allocate(rows * columns));
    }
    this.weightBytes = elements * Float32Array.BYTES_PER_ELEMENT;
  }

  writeWeights(name: WeightName, firstRow: number, dtype: WeightDtype, bytes: Uint8Array): void {
    this.requireOpen();
    const rows = checkWeights(this.shape, name, firstRow, dtype, bytes);
    const key = weightKey(name);
    const { columns } = weightSize(this.shape, name);
    const given = toFloat32(DTYPES[dtype], arrayFromBytes(DTYPES[dtype], bytes.slice()));
    requireFiniteElements('bytes', given);
    // Vectors are kept as floats whatever the storage.
    const values = weightSize(this.shape, name).rows > 1 ? asStored(given, columns, this.options.weightStorage) : given;
    this.weight(key).set(values, firstRow * columns);
    this.#written.add(name, firstRow, rows);
  }

  createAdapter(targets: readonly LoraTarget[], { train = false }: { train?: boolean } = {}): JsAdapter {
    this.requireOpen();
    checkTargets(this.shape, targets);
    return new JsAdapter(this, adapterLayout(this.shape, targets), train);
  }

  createPass(): JsPass {
    this.requireComplete();
    return new JsPass(this);
  }

  createCache(sequences: number, positions: number): JsCache {
    this.requireComplete();
    return new JsCache(this, sequences, positions);
  }

  passBytes(...[targets, size]: Parameters<DecoderModel['passBytes']>): number {
    checkTargets(this.shape, targets);
    return passBytes(this.shape, targets, size);
  }

  cacheBytes(sequences: number, positions: number): number {
    requireInteger('sequences', sequences, 1, 2 ** 20);
    requireInteger('positions', positions, 1, 2 ** 24);
    return cacheBytes(this.shape, sequences, positions);
  }

  close(): void {
    this.#open = false;
  }

  weight(key: string): Float32Array {
    return this.#weights.get(key) as Float32Array;
  }

  projection(layer: number, module: LoraModule): Projection {
    const key = `layers.${layer}.${module}`;
    return {
      weight: this.weight(key),
      bias: this.#weights.get(`${key}.bias`),
      features: moduleFeatures(this.shape, module),
    };
  }

  /** The embedding where it is tied. */
  get head(): Float32Array {
    return this.weight(this.shape.tied ? 'embed_tokens' : 'lm_head');
  }

  /** Runs one computation after another: all share one thread, and an adapter must not change while it is read. */
  turn<T>(compute: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(compute);
    this.#last = result.catch(() => {});
    return result;
  }

  requireOpen(): void {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'model: it has been closed');
  }

  requireComplete(): void {
    this.requireOpen();
    this.#written.requireAll();
  }
}

function allocate(elements: number): Float32Array {
  try {
    return new Float32Array(elements);
  } catch (cause) {
    throw new LorakeetError('ERR_OUT_OF_MEMORY', `model: no memory for a tensor of ${elements} floats`, { cause });
  }
}

/** What storage in that type leaves of the values; the reference itself keeps floats. */
function asStored(values: Float32Array, columns: number, storage: DecoderOptions['weightStorage']): Float32Array {
  if (storage !== 'int8') return toFloat32(DTYPES[storage], fromFloat32('bytes', DTYPES[storage], values));
  const rounded = values.slice();
  for (let row = 0; row < values.length; row += columns) {
    let largest = 0;
    for (let i = row; i < row + columns; i++) largest = Math.max(largest, Math.abs(values[i]));
    const unit = Math.fround(largest / 127);
    for (let i = row; unit > 0 && i < row + columns; i++) rounded[i] = Math.round(values[i] / unit) * unit;
  }
  return rounded;
}
