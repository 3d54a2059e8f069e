/** LoRA modules of a language model → a GGUF adapter file for llama.cpp. */
import { fail, rejectUnknownKeys, requireInteger, requireOneOf } from '../../checks.js';
import { type LoraModule, type LoraModules, requireLoraModules } from '../lora-module.js';
import { GGUF_DTYPES, type GgufDtype, type GgufTensor, type GgufValue, writeGguf } from './gguf.js';
import { scaleAndPadB } from './scaled-factors.js';

/** What must be known of the base model: fields of its config.json, of which others are ignored. */
export interface GgufBaseModel {
  model_type: string;
  num_attention_heads: number;
  /** Default: num_attention_heads. */
  num_key_value_heads?: number;
}

export interface GgufLoraOptions {
  /** Element type of the file; default F32. */
  dtype?: GgufDtype;
  /** general.name of the file. */
  name?: string;
}

/** What llama.cpp calls each kind of base model, and whether its q and k projections are stored with their rows permuted. */
const ARCHITECTURES: ReadonlyMap<string, { name: string; permuted: boolean }> = new Map([
  ['llama', { name: 'llama', permuted: true }],
  ['mistral', { name: 'llama', permuted: true }],
  ['qwen2', { name: 'qwen2', permuted: false }],
  ['qwen3', { name: 'qwen3', permuted: false }],
]);

/** The layers' linear modules, in Hugging Face's names and in llama.cpp's. */
const LAYER_MODULES: ReadonlyMap<string, string> = new Map([
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
]);

/**
 * Writes the file that `llama-server --lora` and others take, for a base model of type llama, mistral, qwen2 or qwen3 with
 * modules named as in Hugging Face's transformers (`model.layers.0.self_attn.q_proj`, `lm_head`). llama.cpp scales with one
 * alpha/rank of each module: B carries whatever the modules' scalings need beyond that. Throws ERR_FORMAT_UNSUPPORTED for
 * other models and modules, ERR_LENGTH_MISMATCH where a module does not fit the heads, ERR_OUT_OF_RANGE for numbers too
 * large for the dtype, and as requireLoraModules and writeGguf do.
 */
export async function writeGgufLora(
  path: string,
  modules: LoraModules,
  base: GgufBaseModel,
  options: GgufLoraOptions = {},
): Promise<void> {
  requireLoraModules('modules', modules);
  rejectUnknownKeys('options', options, ['dtype', 'name']);
  const { dtype = 'F32', name } = options;
  requireOneOf('options.dtype', dtype, Object.keys(GGUF_DTYPES) as GgufDtype[]);
  const { architecture, heads } = readBase(base);
  const alpha = Math.max(...Array.from(modules.values(), ({ rank }) => rank));
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: architecture.name }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'float32', value: alpha }],
  ]);
  if (name !== undefined) metadata.set('general.name', { type: 'string', value: name });
  const tensors = [...modules].flatMap(([path, module]): GgufTensor[] => {
    const { rank, inFeatures, outFeatures, scaling, loraA } = module;
    const target = tensorOf(path);
    const factor = (scaling * rank) / alpha;
    const headCount = architecture.permuted ? heads.get(target.slice(target.lastIndexOf('.') + 1)) : undefined;
    const loraB = () => {
      const scaled = scaleAndPadB(path, module, factor, rank);
      return headCount ? interleaveRows(path, module, scaled, headCount) : scaled;
    };
    return [
      { name: `${target}.weight.lora_a`, shape: [rank, inFeatures], dtype, values: () => loraA },
      { name: `${target}.weight.lora_b`, shape: [outFeatures, rank], dtype, values: loraB },
    ];
  });
  await writeGguf(path, metadata, tensors);
}

function readBase(base: GgufBaseModel) {
  if (typeof base !== 'object' || base === null) fail('ERR_INVALID_ARGUMENT', 'base', base, "the model's config");
  const architecture = ARCHITECTURES.get(base.model_type);
  if (!architecture) {
    const known = [...ARCHITECTURES.keys()].join(', ');
    fail('ERR_FORMAT_UNSUPPORTED', 'base.model_type', base.model_type, `one whose tensors are known here: ${known}`);
  }
  const check = (key: 'num_attention_heads' | 'num_key_value_heads', value: unknown) =>
    requireInteger(`base.${key}`, value, 1, 2 ** 16, 'ERR_INVALID_ARGUMENT');
  const q = check('num_attention_heads', base.num_attention_heads);
  const k = check('num_key_value_heads', base.num_key_value_heads ?? q);
  const heads = new Map([
    ['attn_q', q],
    ['attn_k', k],
  ]);
  return { architecture, heads };
}

function tensorOf(path: string): string {
  if (path === 'lm_head') return 'output';
  const [, layer, inner] = /^model\.layers\.(\d+)\.(.+)$/.exec(path) ?? [];
  const target = inner === undefined ? undefined : LAYER_MODULES.get(inner);
  if (target === undefined) {
    const known = `model.layers.<n>.(${[...LAYER_MODULES.keys()].join('|')}) or lm_head`;
    fail('ERR_FORMAT_UNSUPPORTED', 'modules key', path, known);
  }
  return `blk.${layer}.${target}`;
}

/**
 * The rows of q and k as llama.cpp keeps them. Hugging Face rotates the first half of each head against the second;
 * llama.cpp rotates neighbours, so rows j and j + size/2 of a head become its rows 2j and 2j + 1. (A head's rows are outputs
 * of the module, so B alone has them.)
 */
function interleaveRows(
  path: string,
  { outFeatures, rank }: LoraModule,
  values: Float32Array,
  heads: number,
): Float32Array {
  const half = outFeatures / heads / 2;
  if (!Number.isInteger(half)) {
    fail(
      'ERR_LENGTH_MISMATCH',
      `outFeatures of ${JSON.stringify(path)}`,
      outFeatures,
      `an even size for each of ${heads} heads`,
    );
  }
  const result = new Float32Array(values.length);
  for (let row = 0; row < outFeatures; row++) {
    const within = row % (2 * half);
    const moved = row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
    result.set(values.subarray(row * rank, (row + 1) * rank), moved * rank);
  }
  return result;
}
