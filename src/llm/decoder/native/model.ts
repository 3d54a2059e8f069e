/** The native decoder: the contract over the addon. Messages come from here; the addon checks once more what memory depends on. */
import { requireInteger } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import { coded, instructionSet, loadAddon } from '../../../kernels/addon.js';
import type { NativeRequest } from '../../../kernels/native.js';
import {
  type DecoderBackend,
  type DecoderModel,
  type DecoderOptions,
  type DecoderShape,
  LORA_MODULES,
  type LoraTarget,
  type WeightDtype,
  type WeightName,
} from '../contract.js';
import { checkForward, checkOptions, checkShape, checkTargets, checkWeights } from '../validate.js';
import { WrittenRows } from '../written-rows.js';
import { NativeAdapter } from './adapter.js';
import { type DecoderAddon, nativeOptions, nativeTargets } from './addon.js';
import { NativeCache } from './cache.js';
import { Handle } from './handle.js';
import { NativePass } from './pass.js';

/** As decoder.h numbers them. */
const STORAGE = ['f32', 'bf16', 'f16', 'int8'] as const;
const ARITHMETIC = ['f32', 'bf16'] as const;
const FIRST_BIAS = 7;
const LAYER_VECTORS = { input_layernorm: 14, post_attention_layernorm: 15, q_norm: 16, k_norm: 17 } as const;
const MODEL_TENSORS = ['embed_tokens', 'norm', 'lm_head'] as const;

/** `isa` forces an instruction set. Throws ERR_BACKEND_UNAVAILABLE with the reason where the device cannot be had. */
export function createNativeDecoder(request: NativeRequest = { device: 'cpu' }): DecoderBackend {
  const name = request.device;
  const { addon, reason } = loadAddon<DecoderAddon>();
  if (!addon) throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', `backend ${name}: ${reason}`);
  const device = request.device === 'cuda' ? gpu(addon) : instructionSet(addon, request.isa);
  return { name, createModel: (shape, options) => new NativeModel(addon, { name, device }, shape, options) };
}

function gpu(addon: DecoderAddon): string {
  const { decoderDevice, decoderReason } = addon.info(false, true);
  if (!decoderDevice) throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', `backend cuda: ${decoderReason}`);
  return decoderDevice;
}

export class NativeModel implements DecoderModel {
  readonly backend: 'cpu' | 'cuda';
  readonly device: string;
  readonly shape: DecoderShape;
  readonly options: DecoderOptions;
  readonly weightBytes: number;
  readonly handle: Handle;
  readonly #addon: DecoderAddon;
  readonly #written: WrittenRows;

  /** `device`: the instruction set, or the name of the GPU. */
  constructor(
    addon: DecoderAddon,
    { name, device }: { name: 'cpu' | 'cuda'; device: string },
    shape: DecoderShape,
    options: DecoderOptions,
  ) {
    checkShape(shape);
    checkOptions(options);
    this.#addon = addon;
    this.backend = name;
    this.device = device;
    this.shape = { ...shape, biases: [...shape.biases], inverseFrequencies: shape.inverseFrequencies.slice() };
    this.options = { ...options };
    this.#written = new WrittenRows(shape);
    const number = coded(() => addon.createModel(name, device, nativeConfig(shape, options), shape.inverseFrequencies));
    this.handle = new Handle('model', number, (closed) => addon.closeModel(closed));
    this.weightBytes = addon.modelBytes(number);
  }

  writeWeights(name: WeightName, firstRow: number, dtype: WeightDtype, bytes: Uint8Array): void {
    const { number } = this.handle;
    const rows = checkWeights(this.shape, name, firstRow, dtype, bytes);
    const layer = 'layer' in name ? name.layer : -1;
    coded(() => this.#addon.writeWeights(number, layer, tensorNumber(name), firstRow, STORAGE.indexOf(dtype), bytes));
    this.#written.add(name, firstRow, rows);
  }

  createAdapter(targets: readonly LoraTarget[], { train = false }: { train?: boolean } = {}): NativeAdapter {
    this.handle.number;
    checkTargets(this.shape, targets);
    return new NativeAdapter(this.#addon, this, targets, train);
  }

  createPass(): NativePass {
    this.#requireComplete();
    return new NativePass(this.#addon, this);
  }

  createCache(sequences: number, positions: number): NativeCache {
    this.#requireComplete();
    checkCacheSize(sequences, positions);
    return new NativeCache(this.#addon, this, sequences, positions);
  }

  passBytes(...[targets, size, options = {}]: Parameters<DecoderModel['passBytes']>): number {
    const { number } = this.handle;
    checkTargets(this.shape, targets);
    requireInteger('size.tokens', size.tokens, 1, 2 ** 32 - 1);
    requireInteger('size.sequences', size.sequences, 1, size.tokens);
    requireInteger('size.targets', size.targets, 0, size.tokens);
    checkForward(options, size.targets);
    const { tokens, sequences, targets: positions } = size;
    const numbers = nativeOptions(options);
    return coded(() => this.#addon.passBytes(number, nativeTargets(targets), tokens, sequences, positions, ...numbers));
  }

  cacheBytes(sequences: number, positions: number): number {
    const { number } = this.handle;
    checkCacheSize(sequences, positions);
    return coded(() => this.#addon.cacheBytes(number, sequences, positions));
  }

  close(): void {
    this.handle.close();
  }

  #requireComplete(): void {
    this.handle.number;
    this.#written.requireAll();
  }
}

function checkCacheSize(sequences: number, positions: number): void {
  requireInteger('sequences', sequences, 1, 2 ** 20);
  requireInteger('positions', positions, 1, 2 ** 24);
}

function tensorNumber(name: WeightName): number {
  if (!('layer' in name)) return MODEL_TENSORS.indexOf(name.tensor);
  if (!('bias' in name)) return LAYER_VECTORS[name.tensor];
  return LORA_MODULES.indexOf(name.tensor) + (name.bias ? FIRST_BIAS : 0);
}

/** The configuration as the addon reads it: numbers only, with the enumerations of decoder.h. */
function nativeConfig(shape: DecoderShape, options: DecoderOptions): Record<string, number> {
  const { biases, queryKeyNorms, tied, inverseFrequencies: _, ...sizes } = shape;
  return {
    ...sizes,
    biases: LORA_MODULES.reduce((bits, module, bit) => bits | (Number(biases.includes(module)) << bit), 0),
    queryKeyNorms: Number(queryKeyNorms),
    tied: Number(tied),
    weightStorage: STORAGE.indexOf(options.weightStorage),
    arithmetic: ARITHMETIC.indexOf(options.arithmetic),
    threads: options.threads,
  };
}
