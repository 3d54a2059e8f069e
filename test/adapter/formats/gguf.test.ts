/** The bytes of GGUF files; what llama.cpp makes of them is in scripts/check-interchange.mjs. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../../src/adapter/formats/dtypes.js';
import { type GgufBaseModel, type GgufLoraOptions, writeGgufLora } from '../../../src/adapter/formats/gguf-lora.js';
import type { LoraModule, LoraModules } from '../../../src/adapter/lora-module.js';
import { rejection, sampleModule, temporaryFolder } from './helpers.js';

const folder = temporaryFolder();
const LLAMA: GgufBaseModel = { model_type: 'llama', num_attention_heads: 4, num_key_value_heads: 2 };
const q = 'model.layers.0.self_attn.q_proj';
const k = 'model.layers.12.self_attn.k_proj';
const v = 'model.layers.12.self_attn.v_proj';

interface ReadTensor {
  shape: number[];
  type: number;
  values: Float32Array;
}

/** A reader made from the specification of the format. */
function readGguf(bytes: Buffer) {
  let position = 0;
  const skip = (length: number) => {
    position += length;
    return position - length;
  };
  const u32 = () => bytes.readUInt32LE(skip(4));
  const u64 = () => Number(bytes.readBigUInt64LE(skip(8)));
  const text = () => {
    const length = u64();
    return bytes.subarray(skip(length), position).toString();
  };
  expect(bytes.subarray(skip(4), position).toString()).toBe('GGUF');
  expect(u32()).toBe(3);
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata: Record<string, string | number> = {};
  for (let i = 0; i < valueCount; i++) {
    const key = text();
    const type = u32();
    metadata[key] = type === 8 ? text() : type === 6 ? bytes.readFloatLE(skip(4)) : u32();
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(position / 32) * 32;
  let end = start;
  const tensors: Record<string, ReadTensor> = {};
  for (const { name, shape, type, offset } of infos) {
    expect(offset % 32).toBe(0);
    const count = shape.reduce((a, b) => a * b, 1);
    const at = bytes.byteOffset + start + offset;
    const length = count * (type === 1 ? 2 : 4);
    const copy = bytes.buffer.slice(at, at + length) as ArrayBuffer;
    const values = type === 1 ? toFloat32('F16', new Uint16Array(copy)) : new Float32Array(copy);
    tensors[name] = { shape, type, values };
    end = start + offset + Math.ceil(length / 32) * 32;
  }
  expect(bytes.length).toBe(end);
  return { metadata, tensors };
}

async function roundTrip(modules: LoraModules, base = LLAMA, options?: GgufLoraOptions) {
  const path = join(folder, 'adapter.gguf');
  await writeGgufLora(path, modules, base, options);
  return readGguf(readFileSync(path));
}

/** What llama.cpp computes for a module, as ΔW: scale alpha/rank, and B's rows as they lie. */
function deltaWeight({ metadata, tensors }: Awaited<ReturnType<typeof roundTrip>>, name: string): number[][] {
  const [a, b] = [tensors[`${name}.weight.lora_a`], tensors[`${name}.weight.lora_b`]];
  const [rank, inFeatures] = a.shape;
  expect(b.shape[1]).toBe(rank);
  const scale = (metadata['adapter.lora.alpha'] as number) / rank;
  return Array.from({ length: b.shape[0] }, (_, o) =>
    Array.from({ length: inFeatures }, (_unused, i) => {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += b.values[o * rank + r] * a.values[r * inFeatures + i];
      return scale * sum;
    }),
  );
}

function deltaOfModule({ rank, inFeatures, outFeatures, loraA, loraB, scaling }: LoraModule): number[][] {
  return Array.from({ length: outFeatures }, (_, o) =>
    Array.from({ length: inFeatures }, (_unused, i) => {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += loraB[o * rank + r] * loraA[r * inFeatures + i];
      return scaling * sum;
    }),
  );
}

/** convert_hf_to_gguf's way of saying the permutation: reshape to [heads, 2, size/2], swap the last two, flatten. */
function permuted(rows: number[][], heads: number): number[][] {
  const half = rows.length / heads / 2;
  const at = (head: number, which: number, j: number) => rows[(head * 2 + which) * half + j];
  return Array.from({ length: heads }, (_, head) =>
    Array.from({ length: half }, (_unused, j) => [at(head, 0, j), at(head, 1, j)]).flat(),
  ).flat();
}

function expectClose(got: number[][], expected: number[][], tolerance = 1e-6): void {
  expect(got.length).toBe(expected.length);
  got.flat().forEach((value, i) => {
    expect(Math.abs(value - expected.flat()[i])).toBeLessThan(tolerance);
  });
}

const mixed: LoraModules = new Map([
  [q, sampleModule(2, 6, 16, 1.5)],
  [k, sampleModule(4, 6, 8, 0.25)],
  [v, sampleModule(1, 6, 8, -2)],
  ['lm_head', sampleModule(2, 6, 10, 1)],
]);

describe('writeGgufLora', () => {
  it('says what llama.cpp asks for', async () => {
    const { metadata, tensors } = await roundTrip(mixed, LLAMA, { name: 'ünïcode' });
    expect(metadata).toEqual({
      'general.architecture': 'llama',
      'general.type': 'adapter',
      'general.name': 'ünïcode',
      'adapter.type': 'lora',
      'adapter.lora.alpha': 4,
    });
    expect(Object.keys(tensors)).toEqual([
      'blk.0.attn_q.weight.lora_a',
      'blk.0.attn_q.weight.lora_b',
      'blk.12.attn_k.weight.lora_a',
      'blk.12.attn_k.weight.lora_b',
      'blk.12.attn_v.weight.lora_a',
      'blk.12.attn_v.weight.lora_b',
      'output.weight.lora_a',
      'output.weight.lora_b',
    ]);
  });

  it('keeps every module its own scaling, and permutes q and k by their own heads', async () => {
    const file = await roundTrip(mixed);
    expectClose(deltaWeight(file, 'blk.0.attn_q'), permuted(deltaOfModule(mixed.get(q)!), 4));
    expectClose(deltaWeight(file, 'blk.12.attn_k'), permuted(deltaOfModule(mixed.get(k)!), 2));
    expectClose(deltaWeight(file, 'blk.12.attn_v'), deltaOfModule(mixed.get(v)!));
    expectClose(deltaWeight(file, 'output'), deltaOfModule(mixed.get('lm_head')!));
  });

  it('permutes only where the model type asks for it, and by all heads where keys have as many', async () => {
    const all = new Map([[k, mixed.get(k)!]]);
    const plain = await roundTrip(all, { ...LLAMA, model_type: 'qwen2' });
    expect(plain.metadata['general.architecture']).toBe('qwen2');
    expectClose(deltaWeight(plain, 'blk.12.attn_k'), deltaOfModule(mixed.get(k)!));
    const mistral = await roundTrip(all, { model_type: 'mistral', num_attention_heads: 4 });
    expect(mistral.metadata['general.architecture']).toBe('llama');
    expectClose(deltaWeight(mistral, 'blk.12.attn_k'), permuted(deltaOfModule(mixed.get(k)!), 4));
  });

  it('writes F16', async () => {
    const file = await roundTrip(mixed, LLAMA, { dtype: 'F16' });
    expect(new Set(Object.values(file.tensors).map(({ type }) => type))).toEqual(new Set([1]));
    expectClose(deltaWeight(file, 'blk.12.attn_v'), deltaOfModule(mixed.get(v)!), 5e-3);
  });

  it.each<[string, string, LoraModules, unknown, object?]>([
    ['another model', 'ERR_FORMAT_UNSUPPORTED', mixed, { ...LLAMA, model_type: 'gpt2' }],
    ['no model', 'ERR_INVALID_ARGUMENT', mixed, null],
    ['no heads', 'ERR_INVALID_ARGUMENT', mixed, { model_type: 'llama' }],
    ['half a head', 'ERR_INVALID_ARGUMENT', mixed, { ...LLAMA, num_key_value_heads: 0.5 }],
    ['heads that the module does not have', 'ERR_LENGTH_MISMATCH', mixed, { ...LLAMA, num_attention_heads: 16 }],
    [
      'a module of another family',
      'ERR_FORMAT_UNSUPPORTED',
      new Map([['h.0.attn.c_attn', sampleModule(1, 2, 2, 1)]]),
      LLAMA,
    ],
    ['embed_tokens', 'ERR_FORMAT_UNSUPPORTED', new Map([['model.embed_tokens', sampleModule(1, 2, 2, 1)]]), LLAMA],
    ['no module', 'ERR_INVALID_ARGUMENT', new Map(), LLAMA],
    ['an unknown option', 'ERR_INVALID_CONFIG', mixed, LLAMA, { alpha: 1 }],
    ['BF16', 'ERR_INVALID_CONFIG', mixed, LLAMA, { dtype: 'BF16' }],
    [
      'numbers beyond F16',
      'ERR_OUT_OF_RANGE',
      new Map([[v, { ...sampleModule(1, 2, 2, 1), loraA: Float32Array.of(7e4, 1) }]]),
      LLAMA,
      { dtype: 'F16' },
    ],
  ])('refuses %s and leaves no file', async (_name, code, modules, base, options) => {
    const path = join(folder, 'refused.gguf');
    expect(await rejection(() => writeGgufLora(path, modules, base as GgufBaseModel, options))).toBe(code);
    expect(readdirSync(folder).filter((name) => name.includes('refused'))).toEqual([]);
  });
});
