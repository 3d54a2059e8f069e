/** Files that no honest writer makes: each must end in a coded error, before anything that it claims is allocated. */
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../src/adapter/formats/safetensors-reader.js';
import { hashSeed, Random } from '../../../src/adapter/random.js';
import { forgeFile, fromBase64, golden, rejection } from './helpers.js';

const file = fromBase64(golden.everyDtype.file);
const headerLength = Number(Buffer.from(file).readBigUInt64LE(0));
const header = Buffer.from(file.subarray(8, 8 + headerLength)).toString();
const codeOfFile = (bytes: Uint8Array) => rejection(() => openSafetensors(bytes));
const corrupt = async (bytes: Uint8Array) => expect(await codeOfFile(bytes)).toBe('ERR_FORMAT_CORRUPT');
const entry = (dtype: unknown, shape: unknown, data_offsets: unknown) => ({ dtype, shape, data_offsets });
const f32 = (shape: unknown, data_offsets: unknown) => ({ w: entry('F32', shape, data_offsets) });

it('the forgery itself is fine', async () => {
  expect((await openSafetensors(forgeFile(f32([2], [0, 8]), 8))).tensors.get('w')?.shape).toEqual([2]);
  expect((await openSafetensors(forgeFile('{}'))).tensors.size).toBe(0);
  expect(
    (await openSafetensors(forgeFile('{ "a" : {"dtype":"U8","shape":[1],"data_offsets":[0,1]}\n}  ', 1))).tensors.size,
  ).toBe(1);
});

describe('length', () => {
  it('truncation at every length', async () => {
    for (let length = 0; length < file.length; length++) await corrupt(file.subarray(0, length));
  });

  it('trailing bytes, and data cut out', async () => {
    for (const more of [1, 7, 8, 100]) await corrupt(Buffer.concat([file, Buffer.alloc(more)]));
    await corrupt(forgeFile(f32([2], [0, 8]), 12));
    await corrupt(forgeFile(f32([2], [0, 8]), 4));
    await corrupt(forgeFile('{}', 1));
  });

  it('header lengths that are too small, too large, or no number at all', async () => {
    for (const length of [
      0n,
      1n,
      BigInt(headerLength - 1),
      BigInt(headerLength + 1),
      BigInt(file.length - 7),
      100_000_001n,
    ]) {
      await corrupt(withLength(length));
    }
    for (const length of [
      2n ** 31n,
      2n ** 32n,
      2n ** 32n + BigInt(headerLength),
      2n ** 53n,
      2n ** 63n,
      2n ** 64n - 1n,
    ]) {
      await corrupt(withLength(length));
    }
  });

  function withLength(length: bigint): Uint8Array {
    const copy = Buffer.from(file);
    copy.writeBigUInt64LE(length);
    return copy;
  }

  it('a header over 100 MB, which the file really has', async () => {
    await corrupt(forgeFile(Buffer.alloc(100_000_001, ' ').fill('{}', 0, 2)));
  });
});

describe('the text of the header', () => {
  it.each<[string, string | Uint8Array]>([
    ['a space in front', ' {}'],
    ['a byte order mark', '\ufeff{}'],
    ['an array', '[]'],
    ['a string', '"{}"'],
    ['half an object', '{"a":'],
    ['two objects', '{}{}'],
    ['a NUL at the end', '{}\0'],
    ['a comment', '{}//'],
    ['a trailing comma', '{"__metadata__":{},}'],
    ['single quotes', "{'__metadata__':{}}"],
    ['invalid UTF-8', Buffer.concat([Buffer.from('{"__metadata__":{"a":"'), Buffer.of(0xff), Buffer.from('"}}')])],
    [
      'overlong UTF-8',
      Buffer.concat([Buffer.from('{"__metadata__":{"a":"'), Buffer.of(0xc0, 0x80), Buffer.from('"}}')]),
    ],
    [
      'a surrogate in UTF-8',
      Buffer.concat([Buffer.from('{"__metadata__":{"a":"'), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('"}}')]),
    ],
    ['a lone surrogate as an escape', '{"__metadata__":{"a":"\\ud800"}}'],
    ['a lone surrogate in a key', '{"__metadata__":{"\\udc00":"a"}}'],
    [
      'a duplicate tensor',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    ],
    [
      'a duplicate written as an escape',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    ],
    ['a duplicate field', '{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'],
    ['duplicate metadata', '{"__metadata__":{"a":"1","a":"1"}}'],
    ['metadata twice', '{"__metadata__":{},"__metadata__":{}}'],
    ['a colon in a string beside a duplicate', '{"__metadata__":{"a:b":"c:\\"d:","a:b":""}}'],
    ['deep arrays', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['deep objects', `${'{"a":'.repeat(100_000)}{}${'}'.repeat(100_000)}`],
  ])('%s', async (_name, text) => {
    await corrupt(forgeFile(text));
  });

  it.each<[string, string]>([
    ['a fraction', '[0.0]'],
    ['an exponent', '[0e0]'],
    ['minus zero', '[-0]'],
    ['a negative number', '[-1]'],
    ['null', '[null]'],
    ['true', '[true]'],
    ['a string', '["0"]'],
    ['an array', '[[0]]'],
    ['no array', '0'],
    ['an object with a length', '{"length":1,"0":0}'],
    ['beyond exact integers', '[9007199254740993,0]'],
    ['beyond all numbers', '[1e999]'],
    ['many digits', `[${'9'.repeat(400)}]`],
  ])('a shape with %s', async (_name, shape) => {
    await corrupt(forgeFile(`{"a":{"dtype":"U8","shape":${shape},"data_offsets":[0,0]}}`));
  });

  it('every byte changed to every structural character, and removed, and doubled', async () => {
    let accepted = 0;
    const text = Buffer.from(header.trimEnd());
    const data = file.subarray(8 + headerLength);
    for (let i = 0; i < text.length; i++) {
      const variants = ['"', '{', '}', '[', ']', ',', ':', '\\', '0', '9', '-', '\0', ' '].map((character) => {
        const copy = Buffer.from(text);
        copy[i] = character.charCodeAt(0);
        return copy;
      });
      variants.push(Buffer.concat([text.subarray(0, i), text.subarray(i + 1)]));
      variants.push(Buffer.concat([text.subarray(0, i + 1), text.subarray(i)]));
      for (const variant of variants) {
        try {
          const opened = await openSafetensors(forgeFile(variant, data));
          // whatever is taken tiles the data exactly
          const total = Array.from(opened.tensors.values(), ({ byteLength }) => byteLength).reduce((a, b) => a + b, 0);
          expect(total).toBe(data.length);
          accepted++;
        } catch (error) {
          expect(['ERR_FORMAT_CORRUPT', 'ERR_FORMAT_UNSUPPORTED']).toContain((error as { code: string }).code);
        }
      }
    }
    // other names, dtypes of the same size, another metadata value
    expect(accepted).toBeGreaterThan(100);
  });
});

describe('the entries of the header', () => {
  it.each<[string, unknown, number]>([
    ['is null', { w: null }, 0],
    ['is an array', { w: ['F32', [2], [0, 8]] }, 8],
    ['lacks its dtype', { w: { shape: [2], data_offsets: [0, 8] } }, 8],
    ['has a field too many', { w: { ...entry('F32', [2], [0, 8]), strides: [1] } }, 8],
    ['has a dtype that is no string', { w: entry(['F32'], [2], [0, 8]) }, 8],
    ['has one offset', f32([2], [8]), 8],
    ['has three offsets', f32([2], [0, 8, 8]), 8],
    ['has offsets the wrong way round', f32([0], [8, 0]), 8],
    ['has fewer bytes than its shape', f32([3], [0, 8]), 8],
    ['has more bytes than its shape', f32([1], [0, 8]), 8],
    ['ends behind the data', f32([4], [0, 16]), 8],
    ['begins behind the data', f32([0], [16, 16]), 8],
    ['claims the address space', f32([2 ** 30, 2 ** 30, 2 ** 30], [0, 8]), 8],
    ['overflows to its true size', f32([2 ** 33, 2 ** 31, 2], [0, 8]), 8],
    ['multiplies by zero after overflowing', f32([2 ** 50, 2 ** 50, 0], [0, 0]), 0],
    ['has too many dimensions', f32(Array(33).fill(1), [0, 4]), 4],
    ['has a million dimensions', f32(Array(1_000_000).fill(1), [0, 4]), 4],
  ])('one that %s', async (_name, forged, dataBytes) => {
    await corrupt(forgeFile(forged, dataBytes));
  });

  it('dtypes that the format has and float arrays have not, and ones that it has not', async () => {
    for (const dtype of ['F8_E4M3', 'F8_E5M2', 'C64', 'F4', 'f32', 'F32 ', '', 'toString', '__proto__']) {
      expect(await codeOfFile(forgeFile({ w: entry(dtype, [8], [0, 8]) }, 8))).toBe('ERR_FORMAT_UNSUPPORTED');
    }
  });

  it('tensors that overlap, or leave gaps, or share bytes', async () => {
    const pair = (a: number[], b: number[]) => ({ a: entry('U8', [a[1] - a[0]], a), b: entry('U8', [b[1] - b[0]], b) });
    await corrupt(forgeFile(pair([0, 8], [4, 12]), 12));
    await corrupt(forgeFile(pair([0, 8], [0, 8]), 8));
    await corrupt(forgeFile(pair([0, 8], [9, 12]), 12));
    await corrupt(forgeFile(pair([1, 8], [8, 12]), 12));
    await corrupt(forgeFile(pair([0, 12], [4, 8]), 12));
    await corrupt(forgeFile(pair([4, 4], [0, 8]), 8));
    expect((await openSafetensors(forgeFile(pair([8, 12], [0, 8]), 12))).tensors.size).toBe(2);
    expect((await openSafetensors(forgeFile(pair([0, 0], [0, 8]), 8))).tensors.size).toBe(2);
  });

  it('metadata that is no object of strings', async () => {
    for (const metadata of [[], 'x', { a: ['x'] }, { a: { b: 'c' } }]) {
      await corrupt(forgeFile({ __metadata__: metadata }));
    }
    for (const text of ['1', 'null', 'true', '{"a":1}', '{"a":null}'])
      await corrupt(forgeFile(`{"__metadata__":${text}}`));
  });

  it('names of the prototype pollute nothing', async () => {
    const hostile = '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"__metadata__":{"__proto__":"x"}}';
    const opened = await openSafetensors(forgeFile(hostile, 1));
    expect([...opened.tensors.keys()]).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  it('a BOOL that is neither 0 nor 1', async () => {
    const opened = await openSafetensors(forgeFile({ w: entry('BOOL', [2], [0, 2]) }, Uint8Array.of(1, 2)));
    expect(await rejection(() => opened.read('w'))).toBe('ERR_FORMAT_CORRUPT');
    expect([...(await opened.read('w', { end: 1 }))]).toEqual([1]);
  });
});

describe('random changes', () => {
  it('end in a coded error or in tensors that tile the data and can be read', async () => {
    const random = new Random(hashSeed(5, 'mutations'));
    const below = (n: number) => Math.floor(random.uniform(0, n));
    let opened = 0;
    for (let round = 0; round < 4000; round++) {
      const copy = Buffer.from(file);
      for (let changes = 1 + below(3); changes > 0; changes--) {
        copy[below(2) ? below(8 + headerLength) : below(file.length)] = [0, 0x22, 0x30 + below(10), below(256)][
          below(4)
        ];
      }
      try {
        const result = await openSafetensors(copy);
        for (const name of result.tensors.keys()) await result.read(name);
        opened++;
      } catch (error) {
        expect(['ERR_FORMAT_CORRUPT', 'ERR_FORMAT_UNSUPPORTED']).toContain((error as { code: string }).code);
      }
    }
    expect(opened).toBeGreaterThan(100);
    expect(opened).toBeLessThan(3600);
  });
});

describe('memory', () => {
  it('nothing is allocated for what a short file claims', async () => {
    const hostile = [
      forgeFile(f32([2 ** 20, 2 ** 12], [0, 2 ** 34]), 8),
      Uint8Array.from([0xff, 0xe0, 0xf5, 0x05, 0, 0, 0, 0, 0x7b, 0x7d]), // a header of 99,999,999 bytes
    ];
    for (const bytes of hostile) {
      const before = process.memoryUsage().arrayBuffers;
      await corrupt(bytes);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
    }
  });
});
