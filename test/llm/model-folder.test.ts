import { cpSync, mkdirSync, readFileSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorArray } from '../../src/adapter/formats/dtypes.js';
import { openSafetensors } from '../../src/adapter/formats/safetensors-reader.js';
import { type TensorSource, writeSafetensors } from '../../src/adapter/formats/safetensors-writer.js';
import { storedBytes, tensorName } from '../../src/llm/base-tensors.js';
import { weightNames } from '../../src/llm/decoder/layout.js';
import { type ModelFolderOptions, openModelFolder } from '../../src/llm/model-folder.js';
import { rejection, temporaryFolder } from '../adapter/formats/helpers.js';
import { LLM_GOLDENS, type LlmGoldenName, llmGoldenFolder } from '../support/llm-golden.js';

const scratch = temporaryFolder();
let copies = 0;

/** A copy of a model that a test may change. */
function copyOf(name: LlmGoldenName): string {
  const folder = join(scratch, `${name}-${copies++}`);
  cpSync(llmGoldenFolder(name), folder, { recursive: true });
  return folder;
}

async function opened<T>(
  folder: string,
  use: (model: Awaited<ReturnType<typeof openModelFolder>>) => T | Promise<T>,
  options?: ModelFolderOptions,
): Promise<T> {
  const model = await openModelFolder(folder, options);
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

/** Writes the file of a folder again with these changes; undefined leaves a tensor out. */
async function rewrite(folder: string, changes: Record<string, TensorSource | undefined>, file = 'model.safetensors') {
  const path = join(folder, file);
  const source = await openSafetensors(path);
  const tensors = new Map<string, TensorSource>();
  for (const [name, { dtype, shape }] of source.tensors) {
    tensors.set(name, { dtype, shape, data: (await source.read(name)) as TensorArray });
  }
  await source.close();
  for (const [name, tensor] of Object.entries(changes)) {
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
  }
  await writeSafetensors(path, tensors);
}

const zeros = (...shape: number[]): TensorSource => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

function writeIndex(folder: string, change: (map: Record<string, unknown>) => unknown): void {
  const path = join(folder, 'model.safetensors.index.json');
  const index = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...index, weight_map: change(index.weight_map) }));
}

describe('a model folder', () => {
  it.each(LLM_GOLDENS)('of %s says where every tensor lies', async (name) => {
    await opened(llmGoldenFolder(name), async ({ tensors, config, parameterCount, weightBytes, ...model }) => {
      expect(tensors.map((tensor) => tensor.weight)).toEqual(weightNames(config.shape));
      for (const { name: tensor, file, byteOffset, byteLength, dtype } of tensors) {
        const path = join(llmGoldenFolder(name), file);
        const source = await openSafetensors(path);
        const bytes = readFileSync(path).subarray(byteOffset, byteOffset + byteLength);
        const array = await source.read(tensor);
        expect(Buffer.compare(bytes, Buffer.from(array.buffer)), tensor).toBe(0);
        expect(dtype).toBe(config.dtype);
        await source.close();
      }
      expect(weightBytes).toBe(parameterCount * (config.dtype === 'f32' ? 4 : 2));
      expect(model.ignored).toEqual([]);
    });
  });

  it('knows tensors by the names that transformers gives them', () => {
    expect(tensorName({ tensor: 'lm_head' })).toBe('lm_head.weight');
    expect(tensorName({ layer: 3, tensor: 'k_norm' })).toBe('model.layers.3.self_attn.k_norm.weight');
    expect(tensorName({ layer: 3, tensor: 'input_layernorm' })).toBe('model.layers.3.input_layernorm.weight');
    expect(tensorName({ layer: 3, tensor: 'up_proj', bias: true })).toBe('model.layers.3.mlp.up_proj.bias');
  });

  it('states what its weights take in memory before they are read', async () => {
    await opened(llmGoldenFolder('llama'), ({ config: { shape }, parameterCount }) => {
      const vectors = 5 * 40;
      const rows = 2 * 67 + 2 * (40 + 20 + 20 + 40 + 52 + 52 + 40);
      expect(storedBytes(shape, 'f32')).toBe(4 * parameterCount);
      expect(storedBytes(shape, 'bf16')).toBe(2 * (parameterCount - vectors) + 4 * vectors);
      expect(storedBytes(shape, 'int8')).toBe(parameterCount - vectors + 4 * rows + 4 * vectors);
    });
  });

  it('gives its weights in pieces that make up the whole, or stops when told to', async () => {
    const wide = copyOf('llama');
    const config = JSON.parse(readFileSync(join(wide, 'config.json'), 'utf8'));
    writeFileSync(join(wide, 'config.json'), JSON.stringify({ ...config, vocab_size: 60_000 }));
    const values = Float32Array.from({ length: 60_000 * 40 }, (_, i) => i);
    const matrix: TensorSource = { dtype: 'F32', shape: [60_000, 40], data: values };
    await rewrite(wide, { 'lm_head.weight': matrix, 'model.embed_tokens.weight': matrix });
    await opened(wide, async (model) => {
      const rows: number[] = [];
      let done = 0;
      await model.load(
        {
          writeWeights(name, firstRow, dtype, bytes) {
            if (name.tensor !== 'lm_head') return;
            expect(dtype).toBe('f32');
            const expected = Buffer.from(values.buffer, firstRow * 160, bytes.length);
            expect(expected.equals(bytes)).toBe(true);
            rows.push(bytes.length / 160);
          },
        },
        { onProgress: (bytes) => (done = bytes) },
      );
      expect(rows).toEqual([26_214, 26_214, 7_572]);
      expect(done).toBe(model.weightBytes);
      const controller = new AbortController();
      let pieces = 0;
      const load = model.load(
        { writeWeights: () => {} },
        {
          signal: controller.signal,
          onProgress() {
            if (++pieces === 3) controller.abort();
          },
        },
      );
      expect(await rejection(() => load)).toBe('ERR_ABORTED');
      expect(pieces).toBe(3);
    });
  });

  it('has a hash that only what it computes with changes', async () => {
    const hashOf = (folder: string, options?: ModelFolderOptions) => opened(folder, (model) => model.hash(), options);
    const one = copyOf('mistral');
    const hash = await hashOf(one);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashOf(copyOf('mistral'))).toBe(hash);

    const parts = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const joined = copyOf('mistral');
    const all = new Map<string, TensorSource>();
    for (const part of parts) {
      const source = await openSafetensors(join(joined, part));
      for (const [name, { dtype, shape }] of source.tensors)
        all.set(name, { dtype, shape, data: await source.read(name) });
      await source.close();
    }
    await writeSafetensors(join(joined, 'model.safetensors'), all);
    expect(await hashOf(joined, { contextLength: 8 })).toBe(hash);

    const path = join(joined, 'model.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes);
    utimesSync(path, 1, 1);
    expect(await hashOf(joined)).not.toBe(hash);
    const config = JSON.parse(readFileSync(join(one, 'config.json'), 'utf8'));
    writeFileSync(join(one, 'config.json'), JSON.stringify({ ...config, rope_theta: 20_000 }));
    expect(await hashOf(one)).not.toBe(hash);
  });

  it('may hold what does not change the model, and other tensors if it is told so', async () => {
    const folder = copyOf('llama3-rope');
    const inverse = 'model.layers.1.self_attn.rotary_emb.inv_freq';
    await rewrite(folder, { [inverse]: zeros(8), 'lm_head.weight': zeros(67, 40) });
    expect(await opened(folder, ({ ignored }) => [...ignored].sort())).toEqual(['lm_head.weight', inverse]);
    await rewrite(folder, { 'model.layers.0.self_attn.q_proj.bias': zeros(64) });
    expect(await rejection(() => openModelFolder(folder))).toBe('ERR_FORMAT_UNSUPPORTED');
    const ignored = await opened(folder, (model) => model.ignored.length, { ignoreUnexpected: true });
    expect(ignored).toBe(3);
  });

  it('is refused where its tensors are not those of its config', async () => {
    const missing = copyOf('llama');
    await rewrite(missing, { 'model.layers.1.mlp.up_proj.weight': undefined });
    await expect(openModelFolder(missing)).rejects.toThrow('model.layers.1.mlp.up_proj.weight');
    expect(await rejection(() => openModelFolder(missing))).toBe('ERR_FORMAT_CORRUPT');
    for (const shape of [[20, 41], [40, 20], [820], [20, 40, 1]]) {
      const other = copyOf('llama');
      await rewrite(other, { 'model.layers.0.self_attn.k_proj.weight': zeros(...shape) });
      expect(await rejection(() => openModelFolder(other))).toBe('ERR_FORMAT_CORRUPT');
    }
    const packed = copyOf('llama');
    const codes: TensorSource = { dtype: 'I8', shape: [20, 40], data: new Int8Array(800) };
    await rewrite(packed, { 'model.layers.0.self_attn.k_proj.weight': codes });
    expect(await rejection(() => openModelFolder(packed))).toBe('ERR_FORMAT_UNSUPPORTED');
  });

  it('is refused where files are missing or only pickled', async () => {
    expect(await rejection(() => openModelFolder(join(scratch, 'none')))).toBe('ERR_FILE_ACCESS');
    const bare = copyOf('llama');
    renameSync(join(bare, 'model.safetensors'), join(bare, 'pytorch_model.bin'));
    await expect(openModelFolder(bare)).rejects.toThrow('save the model as safetensors');
    const half = copyOf('mistral');
    renameSync(join(half, 'model-00002-of-00002.safetensors'), join(half, 'elsewhere'));
    expect(await rejection(() => openModelFolder(half))).toBe('ERR_FILE_ACCESS');
    const short = copyOf('llama');
    writeFileSync(join(short, 'model.safetensors'), readFileSync(join(short, 'model.safetensors')).subarray(0, -1));
    expect(await rejection(() => openModelFolder(short))).toBe('ERR_FORMAT_CORRUPT');
    expect(await rejection(() => openModelFolder(1 as unknown as string))).toBe('ERR_INVALID_ARGUMENT');
  });

  it.each<[string, (map: Record<string, unknown>) => unknown, string]>([
    ['a path out of the folder', (map) => ({ ...map, x: '../model.safetensors' }), 'ERR_PATH_NOT_ALLOWED'],
    ['an absolute path', (map) => ({ ...map, x: '/etc/passwd.safetensors' }), 'ERR_PATH_NOT_ALLOWED'],
    ['no name', (map) => ({ ...map, x: 7 }), 'ERR_PATH_NOT_ALLOWED'],
    ['another kind of file', (map) => ({ ...map, x: 'config.json' }), 'ERR_FORMAT_UNSUPPORTED'],
    ['a file that is not there', (map) => ({ ...map, x: 'x.safetensors' }), 'ERR_FILE_ACCESS'],
    ['no files', () => ({}), 'ERR_FORMAT_CORRUPT'],
    ['no map', () => null, 'ERR_FORMAT_CORRUPT'],
    [
      'thousands of files',
      () => Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`t${i}`, `${i}.safetensors`])),
      'ERR_FORMAT_CORRUPT',
    ],
    [
      'a tensor in the other file',
      (map) => ({ ...map, 'model.norm.weight': 'model-00001-of-00002.safetensors' }),
      'ERR_FORMAT_CORRUPT',
    ],
    ['a tensor that no file has', (map) => ({ ...map, x: 'model-00001-of-00002.safetensors' }), 'ERR_FORMAT_CORRUPT'],
    ['a tensor too few', ({ 'model.norm.weight': _, ...map }) => map, 'ERR_FORMAT_CORRUPT'],
  ])('is refused for an index with %s', async (_, change, code) => {
    const folder = copyOf('mistral');
    writeIndex(folder, change);
    expect(await rejection(() => openModelFolder(folder))).toBe(code);
  });

  it('is refused for a tensor that stands in two files', async () => {
    const folder = copyOf('mistral');
    const twice = 'model.norm.weight';
    const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    await rewrite(folder, { [twice]: zeros(40) }, first);
    await rewrite(folder, { [twice]: zeros(40) }, second);
    expect(await rejection(() => openModelFolder(folder))).toBe('ERR_FORMAT_CORRUPT');
  });

  it('stays below its root where one is given, and follows links where none is', async () => {
    const folder = copyOf('llama');
    const inRoot = { root: dirname(folder) };
    expect(await opened(basename(folder), ({ tensors }) => tensors.length, inRoot)).toBeGreaterThan(0);
    expect(await rejection(() => openModelFolder(`../${basename(scratch)}`, inRoot))).toBe('ERR_PATH_NOT_ALLOWED');
    expect(await rejection(() => openModelFolder(folder, inRoot))).toBe('ERR_PATH_NOT_ALLOWED');
    // as the cache of Hugging Face has it: the files of a snapshot are links to blobs elsewhere
    const linked = join(scratch, 'root', 'linked');
    mkdirSync(linked, { recursive: true });
    for (const file of ['config.json', 'model.safetensors']) symlinkSync(join(folder, file), join(linked, file));
    expect(await opened(linked, ({ tensors }) => tensors.length)).toBeGreaterThan(0);
    const confined = { root: join(scratch, 'root') };
    expect(await rejection(() => openModelFolder('linked', confined))).toBe('ERR_PATH_NOT_ALLOWED');
  });

  it('reads other small files, and no weights after it is closed', async () => {
    const model = await openModelFolder(llmGoldenFolder('llama'));
    expect(await model.readFile('config.json', 4096)).toBeInstanceOf(Uint8Array);
    expect(await model.readFile('tokenizer.json', 4096)).toBeUndefined();
    expect(await rejection(() => model.readFile('config.json', 8))).toBe('ERR_FILE_ACCESS');
    expect(await rejection(() => model.readFile('../x', 8))).toBe('ERR_PATH_NOT_ALLOWED');
    const [tensor] = model.tensors;
    expect(await model.readFloat32(tensor)).toHaveLength(67 * 40);
    expect(await rejection(() => model.readFloat32({ ...tensor }))).toBe('ERR_INVALID_ARGUMENT');
    await model.close();
    expect(await rejection(() => model.readFloat32(tensor))).toBe('ERR_FILE_ACCESS');
  });
});
