/** The addon's functions of the decoder (binding/decoder.h). Objects are known by number; 0 is no adapter. */
import type { AddonInfo } from '../../../kernels/addon.js';
import type { ForwardOptions, ForwardResult, LoraTarget } from '../contract.js';
import { LORA_MODULES } from '../contract.js';

export interface DecoderAddon extends AddonInfo {
  createModel(
    device: 'cpu' | 'cuda',
    instructionSet: string,
    config: Record<string, number>,
    inverseFrequencies: Float64Array,
  ): number;
  closeModel(model: number): void;
  modelBytes(model: number): number;
  /** `layer` −1: a tensor of none. */
  writeWeights(model: number, layer: number, tensor: number, firstRow: number, dtype: number, bytes: Uint8Array): void;
  createAdapter(model: number, targets: Float64Array, train: number): number;
  closeAdapter(adapter: number): void;
  writeAdapter(adapter: number, vector: number, first: number, values: Float32Array): void;
  /** Fills `values`. */
  readAdapter(adapter: number, vector: number, first: number, values: Float32Array): void;
  stepAdapter(adapter: number, step: object): Promise<number>;
  addFisher(adapter: number, weight: number): Promise<void>;
  createPass(model: number): number;
  closePass(pass: number): void;
  passBytes(
    model: number,
    targets: Float64Array,
    tokens: number,
    sequences: number,
    positions: number,
    ...options: NativeOptions
  ): number;
  forward(
    pass: number,
    adapter: number,
    tokens: Uint32Array,
    offsets: Uint32Array,
    positions: Uint32Array,
    ...options: [...NativeOptions, coefficients: Float32Array | undefined]
  ): Promise<ForwardResult>;
  backward(pass: number, adapter: number, coefficients: Float32Array | undefined): Promise<void>;
  createCache(model: number, sequences: number, positions: number): number;
  closeCache(cache: number): void;
  cacheBytes(model: number, sequences: number, positions: number): number;
  truncateCache(cache: number, sequence: number, length: number): void;
  /** `entries`: of each its sequence, how many of the tokens are its own, and its adapter. */
  decode(cache: number, entries: Uint32Array, tokens: Uint32Array): Promise<Float32Array>;
}

/** `sampleSeed` −1: none. */
export type NativeOptions = [keep: number, recompute: number, sampleSeed: number, dropout: number, dropoutSeed: number];

export function nativeOptions(options: ForwardOptions): NativeOptions {
  const { keep = false, recompute = false, sampleSeed = -1, dropout = 0, dropoutSeed = 0 } = options;
  return [Number(keep), Number(recompute), sampleSeed, dropout, dropoutSeed];
}

/** Four numbers for each. */
export function nativeTargets(targets: readonly LoraTarget[]): Float64Array {
  return Float64Array.from(
    targets.flatMap(({ layer, module, rank, scaling }) => [layer, LORA_MODULES.indexOf(module), rank, scaling]),
  );
}
