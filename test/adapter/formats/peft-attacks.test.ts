/** PEFT folders that no honest tool writes, or that mean something else than their matrices: refused, with the reason. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodePeft, readPeft } from '../../../src/adapter/formats/peft-reader.js';
import { encodeSafetensors } from '../../../src/adapter/formats/safetensors-writer.js';
import { fromBase64, golden, rejection, temporaryFolder } from './helpers.js';

const { config: configText, weights: weightsText } = golden.adapters.plain;
const config = JSON.parse(Buffer.from(configText, 'base64').toString());
const weights = fromBase64(weightsText);
const json = (value: unknown) =>
  Uint8Array.from(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
const withConfig = (change: object) => decodePeft({ config: json({ ...config, ...change }), weights });

type Tensors = Record<string, readonly [shape: number[], fill?: number]>;
const prefix = 'base_model.model.m';
const pair: Tensors = { [`${prefix}.lora_A.weight`]: [[2, 3]], [`${prefix}.lora_B.weight`]: [[4, 2]] };

function withTensors(tensors: Tensors, change: object = {}, options: object = {}) {
  const sources = Object.entries(tensors).map(([name, [shape, fill = 1]]) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill);
    return [name, { dtype: 'F32', shape, data } as const] as const;
  });
  const settings = json({ peft_type: 'LORA', r: 2, lora_alpha: 2, ...change });
  return decodePeft(
    { config: settings, weights: encodeSafetensors(new Map(sources)) },
    { allowDora: true, ...options },
  );
}

it('the forgeries themselves are fine', async () => {
  expect((await withConfig({})).modules.size).toBe(4);
  expect((await withTensors(pair)).modules.get('m')).toMatchObject({
    rank: 2,
    inFeatures: 3,
    outFeatures: 4,
    scaling: 1,
  });
});

describe('the config', () => {
  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['an array', []],
    ['null', 'null'],
    ['a duplicate key', '{"peft_type":"LORA","r":1,"r":2,"lora_alpha":1}'],
    ['a byte order mark', `\ufeff${JSON.stringify(config)}`],
    ['a NaN as Python writes it', '{"peft_type":"LORA","r":1,"lora_alpha":NaN}'],
    ['more than 1 MiB', { ...config, peft_version: 'x'.repeat(2 ** 20) }],
    ['no rank', { ...config, r: undefined }],
    ['rank 0', { ...config, r: 0 }],
    ['half a rank', { ...config, r: 1.5 }],
    ['a rank as text', { ...config, r: '2' }],
    ['a gigantic rank', { ...config, r: 2 ** 40 }],
    ['another rank than the tensors', { ...config, r: 3 }],
    ['no alpha', { ...config, lora_alpha: null }],
    ['an alpha that overflows', '{"peft_type":"LORA","r":2,"lora_alpha":1e999}'],
    ['use_rslora as text', { ...config, use_rslora: 'yes' }],
    ['target_modules of numbers', { ...config, target_modules: [1] }],
    ['a base model that is no text', { ...config, base_model_name_or_path: 7 }],
    ['a pattern that is a list', { ...config, rank_pattern: [2] }],
    ['a pattern of text', { ...config, alpha_pattern: { q_proj: '2' } }],
    ['a pattern of another rank', { ...config, rank_pattern: { q_proj: 4 } }],
    ['use_dora without magnitudes', { ...config, use_dora: true }],
  ])('with %s', async (_name, forged) => {
    expect(await rejection(() => decodePeft({ config: json(forged), weights }, { allowDora: true }))).toBe(
      'ERR_FORMAT_CORRUPT',
    );
  });

  it.each<[string, unknown]>([
    ['peft_type', 'IA3'],
    ['peft_type', undefined],
    ['init_lora_weights', 'pissa'],
    ['init_lora_weights', 'pissa_niter_16'],
    ['init_lora_weights', 'olora'],
    ['init_lora_weights', 'loftq'],
    ['bias', 'all'],
    ['modules_to_save', ['lm_head']],
    ['layer_replication', [[0, 2]]],
    ['use_qalora', true],
    ['lora_bias', true],
    ['target_parameters', ['experts']],
    ['trainable_token_indices', [1]],
    ['alora_invocation_tokens', [1]],
    ['something_of_the_future', 0.5],
    ['something_of_the_future', { enabled: true }],
  ])('%s = %j is refused with its name', async (key, value) => {
    expect(await rejection(() => withConfig({ [key]: value }))).toBe('ERR_FORMAT_UNSUPPORTED');
    await expect(withConfig({ [key]: value })).rejects.toThrow(key);
  });

  it('what changes nothing is taken', async () => {
    const harmless = {
      lora_dropout: 0.1,
      peft_version: '9.9',
      exclude_modules: ['x'],
      layers_to_transform: [0],
      init_lora_weights: 'gaussian',
      something_of_the_future: null,
      another: false,
      third: {},
    };
    expect((await withConfig(harmless)).modules.size).toBe(4);
  });

  it('a regular expression that never ends is stopped, and broken ones are refused', async () => {
    const name = `base_model.model.${'a'.repeat(100)}`;
    const tensors: Tensors = { [`${name}.lora_A.weight`]: [[2, 3]], [`${name}.lora_B.weight`]: [[4, 2]] };
    const endless = withTensors(tensors, { alpha_pattern: { '(a+)+b': 3 } });
    await expect(endless).rejects.toThrow(/alpha_pattern.*timed out/);
    for (const pattern of ['(', '*', '(?P<x>a)', '\\', '[']) {
      expect(await rejection(() => withConfig({ alpha_pattern: { [pattern]: 3 } })), pattern).toBe(
        'ERR_FORMAT_UNSUPPORTED',
      );
    }
  });

  it('names of the prototype pollute nothing', async () => {
    const hostile = `{"__proto__":{"polluted":true},${JSON.stringify(config).slice(1)}`;
    expect(await rejection(() => decodePeft({ config: json(hostile), weights }))).toBe('ERR_FORMAT_UNSUPPORTED');
    const inPattern = JSON.stringify(config).replace('"rank_pattern":{}', '"rank_pattern":{"__proto__":2}');
    expect((await decodePeft({ config: json(inPattern), weights })).modules.size).toBe(4);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('the tensors', () => {
  it.each<[string, Tensors, object?]>([
    ['none', {}],
    ['an A without B', { [`${prefix}.lora_A.weight`]: [[2, 3]] }],
    ['a B without A', { [`${prefix}.lora_B.weight`]: [[4, 2]] }],
    ['ranks that differ', { ...pair, [`${prefix}.lora_B.weight`]: [[4, 3]] }],
    ['B the wrong way round', { ...pair, [`${prefix}.lora_B.weight`]: [[2, 4]] }],
    ['no features', { ...pair, [`${prefix}.lora_A.weight`]: [[2, 0]] }],
    ['NaN', { ...pair, [`${prefix}.lora_A.weight`]: [[2, 3], Number.NaN] }],
    ['infinity', { ...pair, [`${prefix}.lora_B.weight`]: [[4, 2], Infinity] }],
    ['a magnitude without DoRA', { ...pair, [`${prefix}.lora_magnitude_vector`]: [[4]] }],
    ['a magnitude of another length', { ...pair, [`${prefix}.lora_magnitude_vector`]: [[3]] }, { use_dora: true }],
    ['a magnitude that is a matrix', { ...pair, [`${prefix}.lora_magnitude_vector`]: [[4, 1]] }, { use_dora: true }],
    [
      'two magnitudes',
      { ...pair, [`${prefix}.lora_magnitude_vector`]: [[4]], [`${prefix}.lora_magnitude_vector.weight`]: [[4]] },
      { use_dora: true },
    ],
    [
      'a name without end',
      {
        [`base_model.model.${'m'.repeat(600)}.lora_A.weight`]: [[2, 3]],
        [`base_model.model.${'m'.repeat(600)}.lora_B.weight`]: [[4, 2]],
      },
    ],
  ])('%s', async (_name, tensors, change) => {
    expect(await rejection(() => withTensors(tensors, change))).toBe('ERR_FORMAT_CORRUPT');
  });

  it('an older name of magnitudes is known', async () => {
    const tensors: Tensors = { ...pair, [`${prefix}.lora_magnitude_vector.weight`]: [[4]] };
    expect((await withTensors(tensors, { use_dora: true })).magnitudes?.get('m')).toHaveLength(4);
  });

  it.each<[string, Tensors, RegExp]>([
    ['embedding layers', { ...pair, [`${prefix}.lora_embedding_A`]: [[2, 3]] }, /embedding/],
    ['biases', { ...pair, [`${prefix}.lora_B.bias`]: [[4]] }, /biases of adapters/],
    ['trained biases', { ...pair, [`${prefix}.bias`]: [[4]] }, /trained biases/],
    ['whole layers', { ...pair, 'base_model.model.lm_head.weight': [[4, 2]] }, /modules_to_save/],
    [
      'copies of base weights',
      { ...pair, 'base_model.model.lm_head.base_layer.weight': [[4, 3]] },
      /ignoreBaseWeights/,
    ],
    ['names without the prefix', { 'm.lora_A.weight': [[2, 3]], 'm.lora_B.weight': [[4, 2]] }, /tensor/],
    ['no module name', { 'base_model.model..lora_A.weight': [[2, 3]] }, /tensor/],
    ['convolutions', { ...pair, [`${prefix}.lora_A.weight`]: [[2, 3, 1, 1]] }, /linear/],
  ])('%s are refused with the reason', async (_name, tensors, reason) => {
    expect(await rejection(() => withTensors(tensors))).toBe('ERR_FORMAT_UNSUPPORTED');
    await expect(withTensors(tensors)).rejects.toThrow(reason);
  });

  it('copies of base weights are passed over when asked for', async () => {
    const copy: Tensors = { 'base_model.model.lm_head.base_layer.weight': [[4, 3]] };
    expect([...(await withTensors({ ...pair, ...copy }, {}, { ignoreBaseWeights: true })).modules.keys()]).toEqual([
      'm',
    ]);
    expect(await rejection(() => withTensors(copy, {}, { ignoreBaseWeights: true }))).toBe('ERR_FORMAT_CORRUPT');
  });

  it('integers are no weights', async () => {
    const source = { dtype: 'I32', shape: [2, 2], data: new Int32Array(4) } as const;
    const file = encodeSafetensors(new Map(Object.keys(pair).map((name) => [name, source])));
    expect(
      await rejection(() => decodePeft({ config: json({ peft_type: 'LORA', r: 2, lora_alpha: 2 }), weights: file })),
    ).toBe('ERR_FORMAT_UNSUPPORTED');
  });

  it('truncation at every length', async () => {
    for (let length = 0; length < weights.length; length++) {
      const files = { config: json(config), weights: weights.subarray(0, length) };
      expect(await rejection(() => decodePeft(files))).toBe('ERR_FORMAT_CORRUPT');
    }
  });
});

it('wrong arguments are told', async () => {
  expect(await rejection(() => decodePeft(undefined as never))).toBe('ERR_INVALID_ARGUMENT');
  expect(await rejection(() => decodePeft({ config: 'x', weights } as never))).toBe('ERR_INVALID_ARGUMENT');
});

it('a config file larger than any is not read', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'adapter_config.json'), Buffer.alloc(2 ** 20 + 1, ' '));
  writeFileSync(join(folder, 'adapter_model.safetensors'), weights);
  expect(await rejection(() => readPeft(folder))).toBe('ERR_FILE_ACCESS');
});
