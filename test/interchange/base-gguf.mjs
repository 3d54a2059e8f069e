// A base model in GGUF for llama.cpp, written from the specification of the format and without lorakeet's own writer.
import { writeFileSync } from 'node:fs';

const TENSORS = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
};
const OUTSIDE = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output' };

/** Writes the model of a Hugging Face config and its weights (name → { shape, data: Float32Array }): matrices in `dtype`. */
export function writeBaseModel(path, config, weights, { dtype = 'F32' } = {}) {
  const architecture = config.model_type === 'mistral' ? 'llama' : config.model_type;
  const headSize = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const tensors = [...weights].map(([name, { shape, data }]) => {
    const [, module, ending] = /^(.*)\.(weight|bias)$/.exec(name);
    const heads = { q_proj: config.num_attention_heads, k_proj: config.num_key_value_heads }[module.split('.').at(-1)];
    const values = architecture === 'llama' && heads ? interleave(data, heads, shape.slice(1)) : data;
    return { name: `${tensorOf(module)}.${ending}`, shape, values };
  });
  const factors = ropeFactors(config, headSize);
  if (factors) tensors.push({ name: 'rope_freqs.weight', shape: [factors.length], values: factors });
  const stored = tensors.map(({ values, ...tensor }) => ({ ...tensor, ...store(values, tensor.shape, dtype) }));
  writeGguf(path, metadataOf(architecture, config, headSize), stored);
}

/** Numbers that BF16 holds are cut, not rounded. */
function store(values, shape, dtype) {
  if (shape.length < 2 || dtype === 'F32') return { type: 0, values };
  const words = new Uint16Array(values.buffer, values.byteOffset, 2 * values.length);
  return { type: 30, values: Uint16Array.from({ length: values.length }, (_, i) => words[2 * i + 1]) };
}

function tensorOf(module) {
  const [, layer, inner] = /^model\.layers\.(\d+)\.(.+)$/.exec(module) ?? [];
  return inner ? `blk.${layer}.${TENSORS[inner]}` : OUTSIDE[module];
}

/** Row j of each half of a head becomes row 2j or 2j + 1. */
function interleave(values, heads, [columns = 1]) {
  const half = values.length / columns / heads / 2;
  const result = new Float32Array(values.length);
  for (let head = 0; head < heads; head++) {
    for (let j = 0; j < 2 * half; j++) {
      const from = head * 2 * half + j;
      const to = head * 2 * half + 2 * (j % half) + Math.floor(j / half);
      result.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
    }
  }
  return result;
}

/** By how much Llama 3 slows each rotation; null for others. */
function ropeFactors({ rope_scaling: rope, rope_theta: theta }, headSize) {
  if (rope?.rope_type !== 'llama3') return null;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = rope;
  return Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const turns = length / (2 * Math.PI * theta ** ((2 * i) / headSize));
    const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function metadataOf(architecture, config, headSize) {
  // one token for each byte, named as GPT-2 names them, and special ones
  const byteName = byteNames();
  const tokens = Array.from({ length: config.vocab_size }, (_, i) => byteName[i] ?? `<|${i}|>`);
  const own = {
    block_count: ['uint32', config.num_hidden_layers],
    context_length: ['uint32', config.max_position_embeddings],
    embedding_length: ['uint32', config.hidden_size],
    feed_forward_length: ['uint32', config.intermediate_size],
    'attention.head_count': ['uint32', config.num_attention_heads],
    'attention.head_count_kv': ['uint32', config.num_key_value_heads],
    'attention.key_length': ['uint32', headSize],
    'attention.value_length': ['uint32', headSize],
    'attention.layer_norm_rms_epsilon': ['float32', config.rms_norm_eps],
    'rope.freq_base': ['float32', config.rope_theta],
    'rope.dimension_count': ['uint32', headSize],
    vocab_size: ['uint32', config.vocab_size],
  };
  return [
    ['general.architecture', 'string', architecture],
    ...Object.entries(own).map(([key, [type, value]]) => [`${architecture}.${key}`, type, value]),
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.pre', 'string', 'qwen2'],
    ['tokenizer.ggml.tokens', 'string[]', tokens],
    ['tokenizer.ggml.token_type', 'int32[]', tokens.map((_, i) => (i < 256 ? 1 : 3))],
    ['tokenizer.ggml.merges', 'string[]', [`${tokens[97]} ${tokens[98]}`]],
    ['tokenizer.ggml.bos_token_id', 'uint32', config.bos_token_id],
    ['tokenizer.ggml.eos_token_id', 'uint32', config.eos_token_id],
  ];
}

/** Printable bytes stand for themselves, the others for characters from 256 on. */
function byteNames() {
  const printable = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

const TYPES = { uint32: 4, int32: 5, float32: 6, string: 8 };

function writeGguf(path, metadata, tensors) {
  const parts = [Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(metadata.length)];
  for (const [key, type, value] of metadata) {
    const element = type.replace('[]', '');
    parts.push(encode('string', key));
    if (element === type) parts.push(uint32(TYPES[type]), encode(type, value));
    else
      parts.push(
        uint32(9),
        uint32(TYPES[element]),
        uint64(value.length),
        ...value.map((each) => encode(element, each)),
      );
  }
  let offset = 0;
  for (const { name, type, shape, values } of tensors) {
    parts.push(
      encode('string', name),
      uint32(shape.length),
      ...shape.toReversed().map(uint64),
      uint32(type),
      uint64(offset),
    );
    offset += aligned(values.byteLength);
  }
  const start = Buffer.concat(parts);
  const pad = (bytes) => Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);
  const data = tensors.map(({ values }) => pad(Buffer.from(values.buffer, values.byteOffset, values.byteLength)));
  writeFileSync(path, Buffer.concat([pad(start), ...data]));
}

function aligned(length) {
  return Math.ceil(length / 32) * 32;
}

function encode(type, value) {
  if (type === 'string') return Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
  if (type !== 'float32') return uint32(value);
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
