import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LorakeetError } from '../../src/errors.js';
import { parseModelConfig } from '../../src/llm/model-config.js';
import { codeOf } from '../adapter/helpers.js';
import { LLM_GOLDENS, type LlmGoldenName, llmGoldenFolder, readLlmGolden } from '../support/llm-golden.js';

type Fields = Record<string, unknown>;

const bytesOf = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

function configOf(name: LlmGoldenName): Fields {
  return JSON.parse(readFileSync(join(llmGoldenFolder(name), 'config.json'), 'utf8'));
}

const parse = (changes: Fields = {}, name: LlmGoldenName = 'llama', generation?: Fields) =>
  parseModelConfig(bytesOf({ ...configOf(name), ...changes }), generation && bytesOf(generation));

describe('a config.json', () => {
  it.each(LLM_GOLDENS)('of %s has the frequencies that PyTorch used', async (name) => {
    const { expected } = await readLlmGolden(name);
    const { shape } = parse({}, name);
    expect(shape.inverseFrequencies).toHaveLength(expected.inverse_frequencies.length);
    for (const [i, frequency] of shape.inverseFrequencies.entries()) {
      expect(Math.abs(frequency / expected.inverse_frequencies[i] - 1)).toBeLessThan(1e-14);
    }
  });

  it('is read into what the decoder needs', () => {
    const { shape, ...rest } = parse();
    expect(rest).toEqual({
      modelType: 'llama',
      rope: { theta: 10_000, scaling: { kind: 'default' } },
      contextLength: 64,
      dtype: 'f32',
      bosId: 65,
      eosIds: [66],
    });
    expect({ ...shape, inverseFrequencies: shape.inverseFrequencies.length }).toEqual({
      vocabSize: 67,
      hiddenSize: 40,
      intermediateSize: 52,
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      headDim: 10,
      biases: [],
      queryKeyNorms: false,
      tied: false,
      rmsNormEps: 1e-5,
      inverseFrequencies: 5,
    });
  });

  it('may leave to its model type what is the same for all models of it', () => {
    expect(parse({}, 'qwen2').shape).toMatchObject({ biases: ['q_proj', 'k_proj', 'v_proj'], tied: true });
    expect(parse({ attention_bias: true }, 'qwen2').shape.biases).toEqual(['q_proj', 'k_proj', 'v_proj']);
    expect(parse({}, 'llama-bias').shape).toMatchObject({ headDim: 8, keyValueHeads: 5 });
    expect(parse({}, 'llama-bias').shape.biases).toHaveLength(7);
    expect(parse({}, 'qwen3').shape).toMatchObject({ queryKeyNorms: true, biases: [], headDim: 12 });
    expect(parse({ head_dim: undefined }, 'qwen3').shape.headDim).toBe(128);
    expect(parse({ attention_bias: true }, 'qwen3').shape.biases).toHaveLength(4);
    expect(parse({ attention_bias: true }, 'mistral').shape.biases).toEqual([]);
    const bare = { rms_norm_eps: undefined, rope_theta: undefined, hidden_act: undefined, architectures: null };
    expect(parse(bare)).toMatchObject({ rope: { theta: 10_000 }, shape: { rmsNormEps: 1e-6 } });
    expect(parse({ torch_dtype: 'torch.float16', num_key_value_heads: null })).toMatchObject({
      dtype: 'f16',
      shape: { keyValueHeads: 4 },
    });
  });

  it('spells RoPE in two ways that mean the same', () => {
    const settings = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const old = { rope_theta: 5e5, rope_scaling: { ...settings, original_max_position_embeddings: 32 } };
    const rope_parameters = { ...old.rope_scaling, rope_theta: 5e5 };
    const [four, five] = [parse(old), parse({ rope_theta: undefined, rope_scaling: undefined, rope_parameters })];
    expect(five).toEqual(four);
    expect(four.rope).toEqual({
      theta: 5e5,
      scaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 32 },
    });
    expect(parse({ rope_scaling: settings }).rope.scaling).toMatchObject({ originalContextLength: 64 });
  });

  it('gives way to generation_config.json for the ids that begin and end a text', () => {
    expect(parse({ eos_token_id: [3, 4] }).eosIds).toEqual([3, 4]);
    expect(parse({}, 'llama', { eos_token_id: [5, 66], bos_token_id: 1 })).toMatchObject({ bosId: 1, eosIds: [5, 66] });
    expect(parse({ eos_token_id: null, bos_token_id: undefined })).toMatchObject({ eosIds: [] });
    expect(parse({ bos_token_id: null })).not.toHaveProperty('bosId');
  });

  it('may have a sliding window where it makes no difference', () => {
    expect(parse({ sliding_window: 64 }, 'mistral').contextLength).toBe(64);
    expect(parse({ use_sliding_window: true, sliding_window: 8 }, 'qwen2').contextLength).toBe(64);
    const types = { use_sliding_window: true, sliding_window: 8, layer_types: ['full_attention', 'full_attention'] };
    expect(parse(types, 'qwen3').contextLength).toBe(64);
    const windowed = bytesOf({ ...configOf('mistral'), sliding_window: 16 });
    expect(parseModelConfig(windowed, undefined, { contextLength: 16 }).contextLength).toBe(16);
    expect(codeOf(() => parseModelConfig(windowed, undefined, { contextLength: 17 }))).toBe('ERR_FORMAT_UNSUPPORTED');
  });

  const slidingLayers = { use_sliding_window: true, sliding_window: 8, max_window_layers: 1 };
  it.each([
    ['another model type', { model_type: 'gemma2' }, 'model_type'],
    ['a mixture of experts', { model_type: 'qwen3_moe' }, 'model_type'],
    ['experts', { num_local_experts: 8 }, 'num_local_experts'],
    ['another head', { architectures: ['LlamaForSequenceClassification'] }, 'architectures'],
    ['no head', { architectures: ['LlamaModel'] }, 'architectures'],
    ['quantized weights', { quantization_config: { quant_method: 'gptq' } }, 'quantization_config'],
    ['code of its own', { auto_map: { AutoModelForCausalLM: 'modeling_x.X' } }, 'auto_map'],
    ['another activation', { hidden_act: 'gelu' }, 'hidden_act'],
    ['YaRN', { rope_scaling: { type: 'yarn', factor: 4 } }, 'rope_scaling.rope_type'],
    ['dynamic RoPE', { rope_scaling: { rope_type: 'dynamic', factor: 4 } }, 'rope_scaling.rope_type'],
    ['a setting of RoPE', { rope_scaling: { type: 'linear', factor: 4, mscale: 2 } }, 'rope_scaling.mscale'],
    ['RoPE by kinds of layers', { rope_parameters: { full_attention: {} } }, 'rope_parameters.full_attention'],
    ['rotation of parts', { partial_rotary_factor: 0.5 }, 'partial_rotary_factor'],
    ['interleaved RoPE', { rope_interleaved: true }, 'rope_interleaved'],
    ['8-bit floats', { torch_dtype: 'float8_e4m3fn' }, 'dtype'],
    ['a window (Mistral)', { sliding_window: 63, model_type: 'mistral', architectures: null }, 'sliding_window'],
    ['a window (Qwen2)', { ...slidingLayers, model_type: 'qwen2', architectures: null }, 'sliding_window'],
  ])('is refused for %s, by name', (_, changes, named) => {
    const action = () => parse(changes);
    expect(codeOf(action)).toBe('ERR_FORMAT_UNSUPPORTED');
    expect(action).toThrow(named);
  });

  it.each<[string, Fields | string]>([
    ['no object', '[]'],
    ['no JSON', '{'],
    ['a key twice', '{"model_type":"llama","model_type":"llama"}'],
    ['no model type', { model_type: undefined }],
    ['no size', { hidden_size: undefined }],
    ['a size of 0', { vocab_size: 0 }],
    ['a size as text', { vocab_size: '67' }],
    ['a gigantic size', { vocab_size: 1e15 }],
    ['too many layers', { num_hidden_layers: 1e6 }],
    ['more key heads than heads', { num_key_value_heads: 8 }],
    ['key heads that do not divide heads', { num_key_value_heads: 3 }],
    ['an odd head', { head_dim: 9 }],
    ['a head that is no whole number', { head_dim: null, hidden_size: 42 }],
    ['a negative epsilon', { rms_norm_eps: -1 }],
    ['no context', { max_position_embeddings: undefined }],
    ['a flag that is none', { tie_word_embeddings: 'yes' }],
    ['an id beyond the vocabulary', { eos_token_id: 67 }],
    ['ids that are none', { eos_token_id: [1, null] }],
    ['a base of RoPE that is 0', { rope_theta: 0 }],
    ['a factor left out', { rope_scaling: { type: 'linear' } }],
    [
      'limits in the wrong order',
      { rope_scaling: { type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
    ],
    ['two spellings at once', { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_theta: 1 } }],
    ['architectures that are no list', { architectures: 'LlamaForCausalLM' }],
  ])('is refused as malformed for %s', (_, changes) => {
    const action = typeof changes === 'string' ? () => parseModelConfig(bytesOf(changes)) : () => parse(changes);
    expect(codeOf(action)).toBe('ERR_FORMAT_CORRUPT');
  });

  it('is refused for a context that the model does not have', () => {
    const options = (contextLength: unknown) => ({ contextLength }) as { contextLength: number };
    for (const length of [0, 65, 1.5, '8', Number.NaN]) {
      const action = () => parseModelConfig(bytesOf(configOf('llama')), undefined, options(length));
      expect(codeOf(action)).toBe('ERR_INVALID_CONFIG');
    }
  });

  it('is not read when it is huge', () => {
    expect(() => parseModelConfig(new Uint8Array(2 ** 20 + 1))).toThrow(LorakeetError);
  });
});
