import { describe, expect, it } from 'vitest';
import {
  decodeAdapter,
  encodeAdapter,
  encodeAdapterInto,
  encodedSize,
  MIN_ADAPTER_BYTES,
  viewAdapter,
} from '../../src/adapter/codec.js';
import { type JsonObject, MAX_META_BYTES } from '../../src/adapter/meta.js';
import type { AdapterState } from '../../src/adapter/state.js';
import { bitsOf, codeOf, golden, sampleState } from './helpers.js';

const smallest: AdapterState = {
  shape: { rank: 1, inFeatures: 1, outFeatures: 1, alpha: 1, rsLora: false },
  weights: new Float32Array(2),
  step: 0,
  meta: {},
};
const sampleWithout = (...sections: (keyof AdapterState)[]) =>
  sampleState(Object.fromEntries(sections.map((section) => [section, undefined])));
/** As decoding shows it: without the keys of absent sections. */
const present = (state: AdapterState) =>
  Object.fromEntries(Object.entries(bitsOf(state) as object).filter(([, value]) => value !== undefined));

describe('golden files', () => {
  const weights = Float32Array.of(0.5, -0, 2 ** -149, -1.25, 3, -2, 0.125, 8, -0.75, 1);
  const times = (factor: number) => weights.map((value) => Math.abs(value) * factor);
  const shape = { rank: 2, inFeatures: 2, outFeatures: 3, alpha: 0.1 };
  it.each<[string, AdapterState]>([
    ['plain', { shape: { ...shape, rsLora: false }, weights, step: 7, meta: { userId: 'ünï-☃', n: 3 } }],
    [
      'full',
      {
        shape: { ...shape, rsLora: true },
        weights,
        fisher: times(2),
        anchor: times(3),
        moment1: times(4),
        moment2: times(5),
        step: 2 ** 32 - 1,
        meta: {},
      },
    ],
  ])('%s: an independent program writes the same bytes', (name, state) => {
    expect(Buffer.from(encodeAdapter(state)).toString('hex')).toBe(golden[name]);
    expect(present(decodeAdapter(Buffer.from(golden[name], 'hex')))).toEqual(present(state));
  });
});

describe('round trip', () => {
  it.each([
    ['all sections', sampleState()],
    ['no EWC', sampleWithout('fisher', 'anchor')],
    ['no moments', sampleWithout('moment1', 'moment2')],
    ['weights only', sampleWithout('fisher', 'anchor', 'moment1', 'moment2')],
    ['the smallest', smallest],
    ['alpha no float32 could hold', sampleState({ shape: { ...sampleState().shape, alpha: -1.1e-300 } })],
    ['alpha −0', sampleState({ shape: { ...sampleState().shape, alpha: -0 } })],
  ])('is exact with %s', (_name, state) => {
    const bytes = encodeAdapter(state);
    expect(present(decodeAdapter(bytes))).toEqual(present(state));
    expect(encodeAdapter(decodeAdapter(bytes))).toEqual(bytes);
    expect(encodedSize(state)).toBe(bytes.length);
  });

  it('is exact at the largest shape', () => {
    const shape = { rank: 256, inFeatures: 8192, outFeatures: 8192, alpha: 256, rsLora: false };
    const weights = Float32Array.from({ length: 256 * 16384 }, (_, i) => Math.fround(Math.sin(i)));
    const state = { shape, weights, step: 1, meta: {} };
    const bytes = encodeAdapter(state);
    expect(encodedSize(state)).toBe(bytes.length);
    expect(Buffer.compare(Buffer.from(decodeAdapter(bytes).weights.buffer), Buffer.from(weights.buffer))).toBe(0);
  });

  it('keeps the bits of zeros, denormals and the largest numbers', () => {
    const weights = Float32Array.of(
      0,
      -0,
      2 ** -149,
      -(2 ** -149),
      2 ** -126,
      3.4028234663852886e38,
      -1,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
    );
    const state = sampleWithout('fisher', 'anchor', 'moment1', 'moment2');
    const decoded = decodeAdapter(encodeAdapter({ ...state, weights }));
    expect(new Uint32Array(decoded.weights.buffer)).toEqual(new Uint32Array(weights.buffer));
  });

  it('keeps any text and any JSON, and leaves out undefined fields', () => {
    const text = 'a\u0000"\\\u2028☃😀\ud800\ufeff';
    const meta: JsonObject = {
      [text]: text,
      '': [],
      7: { x: [[]] },
      n: [1e-7, 1e21, -0.1, 5e-324, 2 ** 53],
      gone: undefined,
    };
    const decoded = decodeAdapter(encodeAdapter(sampleState({ meta })));
    const { gone, ...rest } = meta;
    expect(decoded.meta).toStrictEqual(rest);
    expect(encodedSize(sampleState({ meta }))).toBe(encodeAdapter(sampleState({ meta })).length);
  });

  it('makes MIN_ADAPTER_BYTES of the smallest adapter', () => {
    expect(encodeAdapter(smallest).length).toBe(MIN_ADAPTER_BYTES);
  });
});

describe('decodeAdapter', () => {
  const bytes = encodeAdapter(sampleState());

  it('takes a view at any byteOffset, a Buffer, and shared memory', () => {
    for (let offset = 0; offset < 8; offset++) {
      const larger = new Uint8Array(bytes.length + 16);
      larger.set(bytes, offset);
      const view = larger.subarray(offset, offset + bytes.length);
      expect(bitsOf(decodeAdapter(view))).toEqual(bitsOf(sampleState()));
    }
    expect(bitsOf(decodeAdapter(Buffer.from(bytes)))).toEqual(bitsOf(sampleState()));
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    expect(bitsOf(decodeAdapter(shared))).toEqual(bitsOf(sampleState()));
  });

  it('leaves its input alone and keeps nothing of it', () => {
    const input = Uint8Array.from(bytes);
    const decoded = decodeAdapter(input);
    expect(input).toEqual(bytes);
    input.fill(0xff);
    expect(bitsOf(decoded)).toEqual(bitsOf(sampleState()));
  });

  it('rejects arguments of other types', () => {
    const others = [undefined, null, 'LORAKEET', 5, [...bytes], bytes.buffer, new DataView(bytes.buffer), {}];
    for (const other of [...others, new Float32Array(100), Object.create(Uint8Array.prototype), new Int8Array(200)]) {
      expect(codeOf(() => decodeAdapter(other as Uint8Array))).toBe('ERR_INVALID_ARGUMENT');
    }
  });

  it('takes a detached array for the empty one that it is', () => {
    const detached = Uint8Array.from(bytes);
    structuredClone(detached, { transfer: [detached.buffer] });
    expect(codeOf(() => decodeAdapter(detached))).toBe('ERR_ADAPTER_CORRUPT');
  });
});

describe('for those who handle many', () => {
  const state = sampleState();
  const bytes = encodeAdapter(state);

  it('encodes into the memory that it is given, and nothing where that is too short', () => {
    const room = new Uint8Array(bytes.length + 20).fill(7);
    const encoded = encodeAdapterInto(state, room.subarray(3)) as Uint8Array;
    expect(encoded).toEqual(bytes);
    expect([encoded.buffer, encoded.byteOffset]).toEqual([room.buffer, 3]);
    expect([...room.subarray(0, 3), ...room.subarray(3 + bytes.length)]).toEqual(new Array(20).fill(7));
    expect(encodeAdapterInto(state, room.subarray(0, bytes.length - 1))).toBeUndefined();
    expect(room[0]).toBe(7);
  });

  it('reads numbers where they lie if they can be read there, else copies them', () => {
    for (const offset of [0, 1, 2, 3, 4, 8]) {
      const room = new Uint8Array(bytes.length + offset);
      room.set(bytes, offset);
      const viewed = viewAdapter(room.subarray(offset));
      expect(viewed).toEqual(decodeAdapter(bytes));
      expect(viewed.weights.buffer === room.buffer).toBe(offset % 4 === 0);
    }
    expect(decodeAdapter(bytes).weights.buffer).not.toBe(bytes.buffer);
  });
});

describe('encodeAdapter', () => {
  const circular: JsonObject = {};
  circular.self = circular;
  let deep: JsonObject = {};
  for (let i = 0; i < 40; i++) deep = { deep };
  it.each<[string, unknown]>([
    ['null', null],
    ['an array', []],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['a Date within', { at: new Date(0) }],
    ['NaN', { loss: Number.NaN }],
    ['an infinity', { list: [Number.POSITIVE_INFINITY] }],
    ['a bigint', { n: 1n }],
    ['a function', { f() {} }],
    ['toJSON', { toJSON: () => ({}) }],
    ['undefined in an array', { list: [undefined] }],
    ['a hole in an array', { list: new Array(1) }],
    ['__proto__', JSON.parse('{"__proto__":1}')],
    ['a cycle', circular],
    ['deep nesting', deep],
    ['much text', { text: 'x'.repeat(MAX_META_BYTES) }],
  ])('rejects meta with %s, which could not be read back', (_name, meta) => {
    const state = sampleState({ meta: meta as JsonObject });
    expect(codeOf(() => encodeAdapter(state))).toBe('ERR_INVALID_ARGUMENT');
    expect(() => encodeAdapter(state)).toThrow(/^state\.meta/);
  });

  it('writes as much meta as it reads', () => {
    const meta = { text: 'x'.repeat(MAX_META_BYTES - '{"text":""}'.length) };
    expect(decodeAdapter(encodeAdapter(sampleState({ meta }))).meta).toEqual(meta);
  });

  it('rejects states that break their promises', () => {
    expect(codeOf(() => encodeAdapter(undefined as unknown as AdapterState))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => encodeAdapter(sampleState({ weights: new Float32Array(13) })))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => encodeAdapter(sampleState({ anchor: undefined })))).toBe('ERR_INVALID_ARGUMENT');
  });
});
