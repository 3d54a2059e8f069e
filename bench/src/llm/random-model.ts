/**
 * Language models of the usual sizes with random weights, as folders that lorakeet, transformers and converters for
 * llama.cpp all open: what they compute is noise, what it costs is real.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromFloat32 } from '#lorakeet/adapter/formats/dtypes.js';
import { type TensorSource, writeSafetensors } from '#lorakeet/adapter/formats/safetensors-writer.js';
import { hashSeed, Random } from '#lorakeet/adapter/random.js';
import { sizeOf, tensorName } from '#lorakeet/llm/base-tensors.js';
import { weightNames } from '#lorakeet/llm/decoder/layout.js';
import { parseModelConfig } from '#lorakeet/llm/model-config.js';

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  rope_theta: 10_000,
  rms_norm_eps: 1e-5,
  bos_token_id: 1,
  eos_token_id: 2,
};

/** config.json of each, by name: the shapes of a story-telling toy, of SmolLM2-135M and of Qwen2.5-0.5B. */
export const MODEL_SHAPES = {
  '15m': {
    ...LLAMA,
    vocab_size: 32_000,
    hidden_size: 288,
    intermediate_size: 768,
    num_hidden_layers: 6,
    num_attention_heads: 6,
    num_key_value_heads: 6,
    head_dim: 48,
    max_position_embeddings: 2048,
  },
  '135m': {
    ...LLAMA,
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    head_dim: 64,
    max_position_embeddings: 8192,
  },
  '0.5b': {
    ...LLAMA,
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    vocab_size: 151_936,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    max_position_embeddings: 32_768,
    rope_theta: 1_000_000,
    rms_norm_eps: 1e-6,
    use_sliding_window: false,
  },
} as const;
export type ModelShapeName = keyof typeof MODEL_SHAPES;

const TORCH_NAMES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
/** The range of uniform numbers with the standard deviation that models begin their training with, 0.02. */
const SPREAD = 0.02 * Math.sqrt(3);
const PIECE = 2 ** 20;

export interface RandomModelOptions {
  /** Default BF16. */
  dtype?: keyof typeof TORCH_NAMES;
  /** Same seed, same weights. Default 0. */
  seed?: number;
}

/** Writes config.json and model.safetensors, tensor by tensor, into `folder`, which is made if missing. */
export async function writeRandomModel(
  folder: string,
  fields: Readonly<Record<string, unknown>>,
  { dtype = 'BF16', seed = 0 }: RandomModelOptions = {},
): Promise<void> {
  const config = Buffer.from(`${JSON.stringify({ ...fields, torch_dtype: TORCH_NAMES[dtype] }, null, 1)}\n`);
  const { shape } = parseModelConfig(config);
  const tensors = new Map<string, TensorSource>();
  for (const weight of weightNames(shape)) {
    const [name, size] = [tensorName(weight), sizeOf(shape, weight)];
    const count = size.reduce((a, b) => a * b);
    const isNorm = weight.tensor.endsWith('norm');
    tensors.set(name, { dtype, shape: size, data: () => numbers(name, count, dtype, seed, isNorm) });
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), config);
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
}

function* numbers(name: string, count: number, dtype: keyof typeof TORCH_NAMES, seed: number, isNorm: boolean) {
  const random = new Random(hashSeed(seed, name));
  for (let done = 0; done < count; done += PIECE) {
    const values = new Float32Array(Math.min(PIECE, count - done));
    if (isNorm) values.fill(1);
    else random.fillUniform(values, -SPREAD, SPREAD);
    yield fromFloat32(name, dtype, values);
  }
}
