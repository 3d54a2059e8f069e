import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { TensorArray } from '../../../src/adapter/formats/dtypes.js';
import { openSafetensors } from '../../../src/adapter/formats/safetensors-reader.js';
import {
  encodeSafetensors,
  type TensorSource,
  writeSafetensors,
} from '../../../src/adapter/formats/safetensors-writer.js';
import { forgeFile, fromBase64, golden, rejection, temporaryFolder } from './helpers.js';

const folder = temporaryFolder();
const file = fromBase64(golden.everyDtype.file);

async function sourcesOf(bytes: Uint8Array): Promise<Map<string, TensorSource & { data: TensorArray }>> {
  const opened = await openSafetensors(bytes);
  const sources = new Map<string, TensorSource & { data: TensorArray }>();
  for (const [name, { dtype, shape }] of opened.tensors) {
    sources.set(name, { dtype, shape, data: await opened.read(name) });
  }
  return sources;
}

describe('a file that the reference implementation wrote, with every dtype', () => {
  it('gives its numbers', async () => {
    const opened = await openSafetensors(file);
    expect([...opened.metadata]).toEqual([['format', 'pt']]);
    const floats = new Set(['F32', 'F16', 'BF16']);
    for (const [name, { dtype }] of opened.tensors) {
      const values = floats.has(dtype) ? await opened.readFloat32(name) : await opened.read(name);
      const expected = golden.everyDtype.values[name].map(String);
      const got = Array.from(values as ArrayLike<number | bigint>, (v) => (dtype === 'BOOL' ? v === 1 : v));
      expect(dtype === 'BOOL' ? got.map(String) : got.map(Number).map(String), name).toEqual(
        dtype === 'BOOL' ? expected : expected.map((text: string) => String(Number(text))),
      );
    }
    expect(new Set(Array.from(opened.tensors.values(), ({ dtype }) => dtype)).size).toBe(13);
  });

  it('is written byte for byte by encodeSafetensors and writeSafetensors', async () => {
    const sources = await sourcesOf(file);
    expect(encodeSafetensors(sources)).toEqual(file);
    const path = join(folder, 'every.safetensors');
    await writeSafetensors(path, new Map([...sources].reverse()));
    expect(Uint8Array.from(readFileSync(path))).toEqual(file);
    const opened = await openSafetensors(path);
    expect([...opened.tensors.keys()].sort()).toEqual([...sources.keys()].sort());
    await opened.close();
    expect(await rejection(() => opened.read('b'))).toBe('ERR_FILE_ACCESS');
  });
});

describe('reading', () => {
  it('ranges of elements', async () => {
    const opened = await openSafetensors(file);
    const whole = await opened.readFloat32('b');
    expect(await opened.readFloat32('b', { start: 5, end: 9 })).toEqual(whole.slice(5, 9));
    expect(await opened.readFloat32('b', { start: 12 })).toHaveLength(0);
    for (const range of [{ start: -1 }, { end: 13 }, { start: 3, end: 2 }, { start: 0.5 }]) {
      expect(await rejection(() => opened.read('b', range))).toBe('ERR_OUT_OF_RANGE');
    }
    expect(await rejection(() => opened.read('nobody'))).toBe('ERR_INVALID_ARGUMENT');
    expect(await rejection(() => opened.readFloat32('9'))).toBe('ERR_FORMAT_UNSUPPORTED');
  });

  it('gives memory of its own', async () => {
    const bytes = Uint8Array.from(file);
    const opened = await openSafetensors(bytes);
    const before = (await opened.readFloat32('b')).slice();
    (await opened.readFloat32('b')).fill(7);
    expect(await opened.readFloat32('b')).toEqual(before);
  });

  it('a little of a large file takes little memory', async () => {
    const path = join(folder, 'large.safetensors');
    const elements = 2 ** 30;
    const header = forgeFile({ w: { dtype: 'F32', shape: [2 ** 10, 2 ** 20], data_offsets: [0, 4 * elements] } });
    const handle = openSync(path, 'w');
    writeSync(handle, header);
    ftruncateSync(handle, header.length + 4 * elements); // sparse: it takes no space
    writeSync(handle, Buffer.from(Float32Array.of(1, 2, 3).buffer), 0, 12, header.length + 4 * (elements - 3));
    closeSync(handle);
    const opened = await openSafetensors(path);
    const before = process.memoryUsage().arrayBuffers;
    expect([...(await opened.readFloat32('w', { start: elements - 3 }))]).toEqual([1, 2, 3]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
    await opened.close();
  });

  it('tells a file that became shorter', async () => {
    const path = join(folder, 'shrinking.safetensors');
    writeFileSync(path, file);
    const opened = await openSafetensors(path);
    truncateSync(path, file.length - 1);
    expect(await rejection(() => opened.read('flag'))).toBe('ERR_FILE_ACCESS');
    await opened.close();
  });

  it('only regular files', async () => {
    expect(await rejection(() => openSafetensors(join(folder, 'missing')))).toBe('ERR_FILE_ACCESS');
    expect(await rejection(() => openSafetensors(folder))).toBe('ERR_FILE_ACCESS');
    expect(await rejection(() => openSafetensors('a\0b'))).toBe('ERR_FILE_ACCESS');
    expect(await rejection(() => openSafetensors(7 as never))).toBe('ERR_INVALID_ARGUMENT');
    expect(await rejection(() => openSafetensors(new ArrayBuffer(8) as never))).toBe('ERR_INVALID_ARGUMENT');
  });
});

describe('writing', () => {
  it('streams: pieces come when their turn has come, and none is kept', async () => {
    const path = join(folder, 'streamed.safetensors');
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const pieces = 64;
    const pieceElements = 2 ** 18;
    let largest = 0;
    const hash = createHash('sha256');
    const source = (dtype: 'F32' | 'I32', seed: number): TensorSource => ({
      dtype,
      shape: [pieces, pieceElements],
      data: function* () {
        for (let i = 0; i < pieces; i++) {
          if (i % 16 === 0) {
            collectGarbage(); // what is left is held by someone
            largest = Math.max(largest, process.memoryUsage().arrayBuffers);
          }
          const values = new Int32Array(pieceElements).fill(seed + i);
          if (dtype === 'F32') hash.update(values);
          yield dtype === 'F32' ? new Float32Array(values.buffer) : values;
        }
      },
    });
    const before = process.memoryUsage().arrayBuffers;
    await writeSafetensors(
      path,
      new Map([
        ['b', source('I32', 1000)],
        ['a', source('F32', 1)],
      ]),
    );
    expect(largest - before).toBeLessThan(0.5 * 2 * 4 * pieces * pieceElements);
    const opened = await openSafetensors(path);
    expect([...opened.tensors.keys()]).toEqual(['a', 'b']);
    expect(
      createHash('sha256')
        .update(await opened.read('a'))
        .digest('hex'),
    ).toBe(hash.digest('hex'));
    expect((await opened.read('b', { start: 5 * pieceElements, end: 5 * pieceElements + 1 }))[0]).toBe(1005);
    await opened.close();
  });

  it('starts the data at a multiple of 8, whatever the names', () => {
    for (let length = 1; length < 20; length++) {
      const bytes = encodeSafetensors(
        new Map([['n'.repeat(length), { dtype: 'U8', shape: [], data: Uint8Array.of(1) }]]),
      );
      expect(bytes.length % 8).toBe(1);
    }
  });

  it('keeps any name and any metadata, in a file that is read back', async () => {
    const names = ['__proto__', 'constructor', '1', '', 'ü"\\\n', '😀'];
    const sources = new Map(
      names.map((name, i) => [name, { dtype: 'U8', shape: [1], data: Uint8Array.of(i) } as const]),
    );
    const metadata = JSON.parse('{"__proto__":"x","format":"pt"}');
    const opened = await openSafetensors(encodeSafetensors(sources, { metadata }));
    for (const [i, name] of names.entries()) expect([...(await opened.read(name))]).toEqual([i]);
    expect([...opened.metadata]).toEqual([
      ['__proto__', 'x'],
      ['format', 'pt'],
    ]);
    expect((await openSafetensors(encodeSafetensors(new Map(), { metadata: {} }))).tensors.size).toBe(0);
  });

  it.each<[string, string, unknown]>([
    [
      'another array than the dtype has',
      'ERR_INVALID_ARGUMENT',
      { dtype: 'F32', shape: [2], data: new Uint16Array(2) },
    ],
    ['no array', 'ERR_INVALID_ARGUMENT', { dtype: 'F32', shape: [2], data: [1, 2] }],
    ['too few elements', 'ERR_LENGTH_MISMATCH', { dtype: 'F32', shape: [2], data: new Float32Array(1) }],
    ['too many elements', 'ERR_LENGTH_MISMATCH', { dtype: 'F32', shape: [2], data: new Float32Array(3) }],
    ['a dtype of its own', 'ERR_INVALID_CONFIG', { dtype: 'F8', shape: [2], data: new Float32Array(2) }],
    ['a negative size', 'ERR_FORMAT_CORRUPT', { dtype: 'F32', shape: [-2], data: new Float32Array(2) }],
  ])('refuses %s and leaves no file', async (_name, code, source) => {
    const sources = new Map([['x', source as TensorSource & { data: TensorArray }]]);
    expect(await rejection(() => encodeSafetensors(sources))).toBe(code);
    const path = join(folder, 'refused', 'file');
    expect(await rejection(() => writeSafetensors(join(folder, 'refused.safetensors'), sources))).toBe(code);
    expect(await rejection(() => writeSafetensors(path, new Map()))).toBe('ERR_FILE_ACCESS');
    expect(readdirSync(folder).filter((name) => name.includes('refused'))).toEqual([]);
  });

  it('leaves the old file as it was when the data fails half-way', async () => {
    const path = join(folder, 'kept.safetensors');
    await writeSafetensors(path, await sourcesOf(file));
    const failing: TensorSource = {
      dtype: 'F32',
      shape: [4],
      data: function* () {
        yield new Float32Array(2);
        throw new Error('disk on fire');
      },
    };
    await expect(writeSafetensors(path, new Map([['x', failing]]))).rejects.toThrow('disk on fire');
    expect(Uint8Array.from(readFileSync(path))).toEqual(file);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('refuses names that are no text, and metadata that is none', async () => {
    const tensor = { dtype: 'U8', shape: [], data: Uint8Array.of(1) } as const;
    for (const name of ['\ud800', '__metadata__']) {
      expect(await rejection(() => encodeSafetensors(new Map([[name, tensor]])))).toBe('ERR_FORMAT_UNSUPPORTED');
    }
    const metadata = { step: 3 } as never;
    expect(await rejection(() => encodeSafetensors(new Map(), { metadata }))).toBe('ERR_INVALID_ARGUMENT');
  });
});
