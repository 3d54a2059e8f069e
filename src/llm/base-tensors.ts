/** The tensors of a base model in the files of Hugging Face: what they are called, and which of a file's are which. */
import type { TensorInfo } from '../adapter/formats/safetensors-header.js';
import { fail } from '../checks.js';
import { pathOf } from './adapter-config.js';
import {
  type DecoderShape,
  LORA_MODULES,
  type LoraModule,
  type WeightDtype,
  type WeightName,
  type WeightStorage,
} from './decoder/contract.js';
import { weightNames, weightSize } from './decoder/layout.js';

/** A tensor of the base and where its numbers lie: row-major, little endian, `byteLength` bytes from `byteOffset` on. */
export interface BaseTensor {
  weight: WeightName;
  /** Of the tensor in the file. */
  name: string;
  /** Of the file in its folder. */
  file: string;
  /** In the file. */
  byteOffset: number;
  byteLength: number;
  dtype: WeightDtype;
  /** [rows, columns], or [columns] of a vector. */
  shape: readonly number[];
}

/** A tensor that a file of the folder has. */
export interface FoundTensor extends TensorInfo {
  file: string;
  /** Where in the file the data begins. */
  dataStart: number;
}

const ELEMENT_BYTES: Record<WeightStorage, number> = { f32: 4, bf16: 2, f16: 2, int8: 1 };
const DTYPES: Record<string, WeightDtype> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

/** Left behind by old versions of transformers: it follows from the config. */
const FREQUENCIES = /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/;
const MAX_NAMED = 5;

/** `model.layers.0.self_attn.q_proj.weight`, `model.norm.weight`, … */
export function tensorName(weight: WeightName): string {
  if (!('layer' in weight)) return weight.tensor === 'lm_head' ? 'lm_head.weight' : `model.${weight.tensor}.weight`;
  const { layer, tensor } = weight;
  const module = LORA_MODULES.find((each): each is LoraModule => each === tensor);
  if (module) return `${pathOf({ layer, module })}.${'bias' in weight && weight.bias ? 'bias' : 'weight'}`;
  const isOfHead = tensor === 'q_norm' || tensor === 'k_norm';
  return `model.layers.${layer}.${isOfHead ? 'self_attn.' : ''}${tensor}.weight`;
}

/**
 * Every tensor that a model of this shape has, and the names of the others. Throws ERR_FORMAT_CORRUPT where tensors are
 * missing or have another shape, ERR_FORMAT_UNSUPPORTED for an element type other than F32, F16 and BF16.
 */
export function matchTensors(
  shape: DecoderShape,
  found: ReadonlyMap<string, FoundTensor>,
): { tensors: BaseTensor[]; others: string[] } {
  const weights = new Map(weightNames(shape).map((weight) => [tensorName(weight), weight]));
  const missing = [...weights.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) fail('ERR_FORMAT_CORRUPT', 'tensors', listed(missing), 'them in the files of the model');
  const tensors = [...weights].map(([name, weight]) =>
    locate(name, weight, found.get(name) as FoundTensor, sizeOf(shape, weight)),
  );
  return { tensors, others: [...found.keys()].filter((name) => !weights.has(name)) };
}

/** True for what a file may hold beside the model without changing what it computes. */
export function isHarmless(shape: DecoderShape, name: string): boolean {
  return FREQUENCIES.test(name) || (shape.tied && name === 'lm_head.weight');
}

/** The first few of a list of names, in words. */
export function listed(names: readonly string[]): string {
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return names.slice(0, MAX_NAMED).join(', ') + more;
}

/** The shape of a tensor as files have it: vectors without a number of rows. */
export function sizeOf(shape: DecoderShape, weight: WeightName): readonly number[] {
  const { rows, columns } = weightSize(shape, weight);
  const isVector = !('bias' in weight ? !weight.bias : weight.tensor === 'embed_tokens' || weight.tensor === 'lm_head');
  return isVector ? [columns] : [rows, columns];
}

/** Bytes of the weights in memory, with vectors in float32, and for int8 one float per row of a matrix. */
export function storedBytes(shape: DecoderShape, storage: WeightStorage): number {
  return weightNames(shape).reduce((sum, weight) => {
    const [rows, columns] = sizeOf(shape, weight);
    if (columns === undefined) return sum + rows * 4;
    return sum + rows * columns * ELEMENT_BYTES[storage] + (storage === 'int8' ? rows * 4 : 0);
  }, 0);
}

function locate(name: string, weight: WeightName, found: FoundTensor, expected: readonly number[]): BaseTensor {
  const { file, dataStart, byteOffset, byteLength, shape } = found;
  const dtype = DTYPES[found.dtype];
  if (!dtype) fail('ERR_FORMAT_UNSUPPORTED', `${file}: dtype of ${name}`, found.dtype, Object.keys(DTYPES).join(', '));
  if (shape.join() !== expected.join()) {
    fail('ERR_FORMAT_CORRUPT', `${file}: shape of ${name}`, `[${shape}]`, `[${expected}], as config.json has it`);
  }
  return { weight, name, file, byteOffset: dataStart + byteOffset, byteLength, dtype, shape };
}
