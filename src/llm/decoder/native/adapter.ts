/** An adapter of the native decoder. */
import { fail, requireFiniteElements, requireVector } from '../../../checks.js';
import { coded, codedAsync } from '../../../kernels/addon.js';
import {
  ADAPTER_VECTORS,
  type AdapterStep,
  type AdapterVector,
  type DecoderAdapter,
  type LoraTarget,
} from '../contract.js';
import { adapterLayout } from '../layout.js';
import { checkSpan, checkStep, checkTrains, checkVector } from '../validate.js';
import { type DecoderAddon, nativeTargets } from './addon.js';
import { Handle } from './handle.js';
import type { NativeModel } from './model.js';
import { inTurn } from './turns.js';

export class NativeAdapter implements DecoderAdapter {
  readonly targets: readonly LoraTarget[];
  readonly parameterCount: number;
  readonly train: boolean;
  readonly model: NativeModel;
  readonly handle: Handle;
  readonly #addon: DecoderAddon;

  constructor(addon: DecoderAddon, model: NativeModel, targets: readonly LoraTarget[], train: boolean) {
    this.targets = targets.map(({ layer, module, rank, scaling }) => ({ layer, module, rank, scaling }));
    this.parameterCount = adapterLayout(model.shape, targets).parameterCount;
    this.train = train;
    this.model = model;
    this.#addon = addon;
    const number = coded(() => addon.createAdapter(model.handle.number, nativeTargets(targets), Number(train)));
    this.handle = new Handle('adapter', number, (closed) => addon.closeAdapter(closed));
  }

  async write(vector: AdapterVector, values: Float32Array, first = 0): Promise<void> {
    this.handle.number;
    const index = ADAPTER_VECTORS.indexOf(checkVector(vector, this.train));
    requireVector('values', values, values?.length);
    checkSpan(first, values.length, this.parameterCount);
    const copy = values.slice();
    return this.#change(() => this.#addon.writeAdapter(this.handle.number, index, first, copy));
  }

  async read(vector: AdapterVector, first = 0, count = this.parameterCount - first): Promise<Float32Array> {
    this.handle.number;
    const index = ADAPTER_VECTORS.indexOf(checkVector(vector, this.train));
    checkSpan(first, count, this.parameterCount);
    return inTurn({ reads: [this.handle.turns] }, () => {
      const values = new Float32Array(count);
      coded(() => this.#addon.readAdapter(this.handle.number, index, first, values));
      return values;
    });
  }

  async step(step: AdapterStep): Promise<number> {
    this.handle.number;
    checkTrains(this.train);
    const full = checkStep(step);
    return this.#change(() => this.#addon.stepAdapter(this.handle.number, full));
  }

  async addFisher(weight: number): Promise<void> {
    this.handle.number;
    checkTrains(this.train);
    requireFiniteElements('weight', Float32Array.of(weight));
    return this.#change(() => this.#addon.addFisher(this.handle.number, weight));
  }

  close(): void {
    this.handle.close();
  }

  #change<T>(call: () => T | Promise<T>): Promise<T> {
    return codedAsync(inTurn({ changes: [this.handle.turns] }, call));
  }
}

/** The adapter as this backend's own; throws ERR_INVALID_ARGUMENT, ERR_CLOSED. */
export function requireAdapter(model: NativeModel, adapter: DecoderAdapter): NativeAdapter {
  if (!(adapter instanceof NativeAdapter) || adapter.model !== model) {
    fail('ERR_INVALID_ARGUMENT', 'adapter', adapter, 'an adapter that this model made');
  }
  adapter.handle.number;
  return adapter;
}
