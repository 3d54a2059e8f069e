/** config.json of a language model: what of it the arithmetic depends on, and what cannot be computed here. */
import { isJsonObject, parseStrictJson } from '../adapter/formats/strict-json.js';
import { fail, requireInteger, requireNumber } from '../checks.js';
import type { DecoderShape, LoraModule, WeightDtype } from './decoder/contract.js';
import { inverseFrequencies, isGiven, parseRope, type RopeConfig } from './rope.js';

/** model_type and the one architecture of it that is a language model. */
const ARCHITECTURES = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
} as const;
export type ModelType = keyof typeof ARCHITECTURES;
const MODEL_TYPES = Object.keys(ARCHITECTURES) as ModelType[];

export interface DecoderConfig {
  modelType: ModelType;
  /** What a decoder is made of. */
  shape: DecoderShape;
  rope: RopeConfig;
  /** Tokens that the model was made for: max_position_embeddings, or less if asked for. */
  contextLength: number;
  /** What the weights are in, by the config's own account; the files have the last word. */
  dtype?: WeightDtype;
  bosId?: number;
  /** Ids that end a text; several in most chat models. */
  eosIds: readonly number[];
}

export interface ModelConfigOptions {
  /**
   * Use the model for texts of at most this many tokens. Default and most: max_position_embeddings. A model with a sliding
   * window can be used up to that window, where the window makes no difference.
   */
  contextLength?: number;
}

export const MAX_MODEL_CONFIG_BYTES = 2 ** 20;
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 4096;

const DTYPE_NAMES: Record<string, WeightDtype> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };
const ATTENTION: readonly LoraModule[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
const MLP: readonly LoraModule[] = ['gate_proj', 'up_proj', 'down_proj'];

/** What makes another model of one of these types, with the reason that is given. */
const REFUSED: Record<string, string> = {
  quantization_config: 'none: weights in F32, F16 or BF16',
  auto_map: 'none: the model brings code of its own',
  num_experts: 'none: mixtures of experts are not supported',
  num_local_experts: 'none: mixtures of experts are not supported',
  rope_interleaved: 'false: RoPE turns pairs that are half a head apart',
};

/**
 * Reads the bytes of config.json and, where there is one, of generation_config.json, whose bos and eos count. Both spellings
 * of transformers 4 and 5 are taken; what is left out has the default of transformers. Throws ERR_FORMAT_CORRUPT for what is
 * not well-formed, ERR_FORMAT_UNSUPPORTED naming the setting for a model that would be computed wrongly here, and
 * ERR_INVALID_CONFIG for a contextLength that the model does not have.
 */
export function parseModelConfig(
  config: Uint8Array,
  generationConfig?: Uint8Array,
  options: ModelConfigOptions = {},
): DecoderConfig {
  const name = 'config.json';
  const fields = parseObject(name, config);
  const modelType = readModelType(name, fields);
  for (const [key, expected] of Object.entries(REFUSED)) {
    const value = fields[key];
    if (isGiven(value) && value !== false && value !== 0)
      fail('ERR_FORMAT_UNSUPPORTED', `${name}: ${key}`, value, expected);
  }
  const activation = fields.hidden_act ?? 'silu';
  if (activation !== 'silu') fail('ERR_FORMAT_UNSUPPORTED', `${name}: hidden_act`, activation, "'silu'");
  const rope = parseRope(name, fields);
  const shape = readShape(name, modelType, fields, rope);
  const contextLength = readContextLength(name, modelType, fields, options.contextLength);
  const dtype = readDtype(name, fields.dtype ?? fields.torch_dtype);
  const generation = generationConfig ? parseObject('generation_config.json', generationConfig) : {};
  const bosId = readIds(name, 'bos_token_id', generation.bos_token_id ?? fields.bos_token_id, shape.vocabSize)[0];
  return {
    modelType,
    shape,
    rope,
    contextLength,
    ...(dtype && { dtype }),
    ...(bosId !== undefined && { bosId }),
    eosIds: readIds(name, 'eos_token_id', generation.eos_token_id ?? fields.eos_token_id, shape.vocabSize),
  };
}

function parseObject(name: string, bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > MAX_MODEL_CONFIG_BYTES) {
    fail('ERR_FORMAT_CORRUPT', name, bytes, `at most ${MAX_MODEL_CONFIG_BYTES} bytes`);
  }
  const { value } = parseStrictJson(name, bytes);
  if (!isJsonObject(value)) fail('ERR_FORMAT_CORRUPT', name, value, 'an object');
  return value;
}

function readModelType(name: string, { model_type: type, architectures }: Record<string, unknown>): ModelType {
  if (typeof type !== 'string') fail('ERR_FORMAT_CORRUPT', `${name}: model_type`, type, 'a name');
  const known = MODEL_TYPES.find((each) => each === type);
  if (!known) fail('ERR_FORMAT_UNSUPPORTED', `${name}: model_type`, type, `one of ${MODEL_TYPES.join(', ')}`);
  if (!isGiven(architectures)) return known;
  if (!Array.isArray(architectures)) fail('ERR_FORMAT_CORRUPT', `${name}: architectures`, architectures, 'a list');
  const other = architectures.find((each) => each !== ARCHITECTURES[known]);
  if (other !== undefined) {
    fail('ERR_FORMAT_UNSUPPORTED', `${name}: architectures`, other, `${ARCHITECTURES[known]}, for model_type ${known}`);
  }
  return known;
}

function readShape(name: string, type: ModelType, fields: Record<string, unknown>, rope: RopeConfig): DecoderShape {
  const size = (key: string, value = fields[key], max = MAX_SIZE) =>
    requireInteger(`${name}: ${key}`, value, 1, max, 'ERR_FORMAT_CORRUPT');
  const hiddenSize = size('hidden_size');
  const heads = size('num_attention_heads');
  const keyValueHeads = size('num_key_value_heads', fields.num_key_value_heads ?? heads, heads);
  if (heads % keyValueHeads !== 0) {
    const expected = `a divisor of num_attention_heads, ${heads}`;
    fail('ERR_FORMAT_CORRUPT', `${name}: num_key_value_heads`, keyValueHeads, expected);
  }
  // transformers gives Qwen3 this default, whatever the hidden size
  const headDim = size('head_dim', fields.head_dim ?? (type === 'qwen3' ? 128 : hiddenSize / heads));
  if (headDim % 2 !== 0) fail('ERR_FORMAT_CORRUPT', `${name}: head_dim`, headDim, 'an even number');
  return {
    vocabSize: size('vocab_size'),
    hiddenSize,
    intermediateSize: size('intermediate_size'),
    layers: size('num_hidden_layers', fields.num_hidden_layers, MAX_LAYERS),
    heads,
    keyValueHeads,
    headDim,
    biases: readBiases(name, type, fields),
    queryKeyNorms: type === 'qwen3',
    tied: readFlag(name, fields, 'tie_word_embeddings'),
    rmsNormEps: requireNumber(`${name}: rms_norm_eps`, fields.rms_norm_eps ?? 1e-6, { above: 0 }, 'ERR_FORMAT_CORRUPT'),
    inverseFrequencies: inverseFrequencies(rope, headDim),
  };
}

/** Mistral has none, and Qwen2 always those of q, k and v, whatever the config says. */
function readBiases(name: string, type: ModelType, fields: Record<string, unknown>): readonly LoraModule[] {
  if (type === 'mistral') return [];
  if (type === 'qwen2') return ATTENTION.slice(0, 3);
  return [
    ...(readFlag(name, fields, 'attention_bias') ? ATTENTION : []),
    ...(type === 'llama' && readFlag(name, fields, 'mlp_bias') ? MLP : []),
  ];
}

function readContextLength(
  name: string,
  type: ModelType,
  fields: Record<string, unknown>,
  wanted: number | undefined,
): number {
  const key = `${name}: max_position_embeddings`;
  const most = requireInteger(key, fields.max_position_embeddings, 1, 2 ** 31 - 1, 'ERR_FORMAT_CORRUPT');
  const length = requireInteger('contextLength', wanted ?? most, 1, most);
  const window = readWindow(name, type, fields);
  if (window < length) {
    const expected = `at least the context of ${length} tokens (contextLength ${window} would use the model up to its window)`;
    fail('ERR_FORMAT_UNSUPPORTED', `${name}: sliding_window`, window, expected);
  }
  return length;
}

/** Tokens that the attention of some layer looks back at most; Infinity where every layer sees all. */
function readWindow(name: string, type: ModelType, fields: Record<string, unknown>): number {
  const { sliding_window: window } = fields;
  const slides = type === 'mistral' || (type !== 'llama' && readFlag(name, fields, 'use_sliding_window'));
  if (!slides || !isGiven(window) || (type !== 'mistral' && !hasSlidingLayer(name, fields))) return Infinity;
  return requireInteger(`${name}: sliding_window`, window, 1, 2 ** 31 - 1, 'ERR_FORMAT_CORRUPT');
}

/** The Qwen models let the window slide from layer max_window_layers on, or say so for each layer. */
function hasSlidingLayer(name: string, { layer_types: types, ...fields }: Record<string, unknown>): boolean {
  if (isGiven(types)) {
    if (!Array.isArray(types)) fail('ERR_FORMAT_CORRUPT', `${name}: layer_types`, types, 'a list');
    return types.some((each) => each !== 'full_attention');
  }
  const first = fields.max_window_layers ?? 28;
  return (
    requireNumber(`${name}: max_window_layers`, first, {}, 'ERR_FORMAT_CORRUPT') < Number(fields.num_hidden_layers)
  );
}

function readDtype(name: string, value: unknown): WeightDtype | undefined {
  if (!isGiven(value)) return undefined;
  const dtype = typeof value === 'string' ? DTYPE_NAMES[value.replace(/^torch\./, '')] : undefined;
  if (!dtype) fail('ERR_FORMAT_UNSUPPORTED', `${name}: dtype`, value, `one of ${Object.keys(DTYPE_NAMES).join(', ')}`);
  return dtype;
}

function readFlag(name: string, fields: Record<string, unknown>, key: string): boolean {
  const value = fields[key] ?? false;
  if (typeof value !== 'boolean') fail('ERR_FORMAT_CORRUPT', `${name}: ${key}`, value, 'true or false');
  return value;
}

function readIds(name: string, key: string, value: unknown, vocabSize: number): number[] {
  if (!isGiven(value)) return [];
  const ids = Array.isArray(value) ? value : [value];
  return ids.map((id) => requireInteger(`${name}: ${key}`, id, 0, vocabSize - 1, 'ERR_FORMAT_CORRUPT'));
}
