/** Bytes that no encoder wrote: each must end in a coded error, never in a crash, a huge allocation or a wrong adapter. */
import { describe, expect, it } from 'vitest';
import { decodeAdapter, encodeAdapter } from '../../src/adapter/codec.js';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { codeOf, forge, sampleState, splice, withChecksum } from './helpers.js';

const bytes = encodeAdapter(sampleState());
const u32Fields = { headerLength: 12, rank: 16, inFeatures: 20, outFeatures: 24, flags: 28, step: 40, sections: 44 };
const TABLE = 48;
const ENTRY = 8;
const HEADER = TABLE + 6 * ENTRY;
const SECTION_BYTES = 4 * 14;
const META = HEADER + 5 * SECTION_BYTES;
const metaBytes = bytes.length - 32 - META;

/** The sections of `bytes`, taken apart. */
const sections = [0, 1, 2, 3, 4, 5].map((i) => ({
  code: i + 1,
  encoding: i < 5 ? 1 : 2,
  content: bytes.subarray(HEADER + i * SECTION_BYTES, i < 5 ? HEADER + (i + 1) * SECTION_BYTES : bytes.length - 32),
}));

/** An adapter file of these sections under the header of `bytes`, with lengths and checksum that fit. */
function assemble(chosen: typeof sections): Uint8Array {
  const head = Buffer.from(bytes.subarray(0, TABLE));
  head.writeUInt32LE(TABLE + ENTRY * chosen.length, u32Fields.headerLength);
  head.writeUInt32LE(chosen.length, u32Fields.sections);
  const table = Buffer.alloc(ENTRY * chosen.length);
  chosen.forEach(({ code, encoding, content }, i) => {
    table.writeUInt16LE(code, ENTRY * i);
    table.writeUInt16LE(encoding, ENTRY * i + 2);
    table.writeUInt32LE(content.length, ENTRY * i + 4);
  });
  return withChecksum(Buffer.concat([head, table, ...chosen.map(({ content }) => content), Buffer.alloc(32)]));
}

const corrupt = (action: () => unknown) => expect(codeOf(action)).toBe('ERR_ADAPTER_CORRUPT');

it('a forged copy with nothing changed still decodes, so that forging by itself proves nothing', () => {
  expect(forge(bytes, () => {})).toEqual(bytes);
  expect(encodeAdapter(decodeAdapter(forge(bytes, () => {})))).toEqual(bytes);
});

describe('damage', () => {
  it('truncation at every length', () => {
    for (let length = 0; length < bytes.length; length++) corrupt(() => decodeAdapter(bytes.subarray(0, length)));
  });

  it('truncation at every length, with a checksum that fits', () => {
    for (let length = 0; length < bytes.length; length++) {
      corrupt(() => decodeAdapter(withChecksum(bytes.subarray(0, length))));
    }
  });

  it('every single bit flipped', () => {
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const copy = Uint8Array.from(bytes);
      copy[bit >> 3] ^= 1 << (bit & 7);
      const inVersion = bit >> 3 >= 8 && bit >> 3 < 12;
      const expected = inVersion && bit !== 64 ? 'ERR_ADAPTER_VERSION' : 'ERR_ADAPTER_CORRUPT';
      expect(codeOf(() => decodeAdapter(copy))).toBe(expected);
    }
  });

  it('trailing bytes, with and without a checksum that fits', () => {
    corrupt(() => decodeAdapter(Buffer.concat([bytes, Buffer.alloc(1)])));
    for (let more = 1; more < 70; more++)
      corrupt(() => decodeAdapter(splice(bytes, META + metaBytes, 0, new Uint8Array(more))));
    corrupt(() => decodeAdapter(Buffer.concat([bytes, bytes])));
  });

  it('another magic, and bytes of nothing', () => {
    for (const magic of ['LORASNAP', 'lorakeet', 'GGUF\0\0\0\0']) {
      corrupt(() => decodeAdapter(forge(bytes, (_view, copy) => copy.set(Buffer.from(magic)))));
    }
    for (const fill of [0, 0xff]) corrupt(() => decodeAdapter(new Uint8Array(1000).fill(fill)));
  });
});

describe('header fields behind a checksum that fits', () => {
  const huge = [0xffffffff, 0xfffffffe, 0x80000000, 0x7fffffff, 0x40000000, 65536, 8193, 257, 0];
  it.each(Object.entries(u32Fields).filter(([name]) => name !== 'step'))('%s', (name, offset) => {
    for (const value of huge) {
      if (name === 'flags' && value === 0) continue;
      corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(offset, value, true))));
    }
  });

  it('rank and features that swap their product', () => {
    corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.rank, 3, true))));
    corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.inFeatures, 4, true))));
    corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.outFeatures, 5, true))));
  });

  it('step takes every value', () => {
    expect(decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.step, 0xffffffff, true))).step).toBe(
      2 ** 32 - 1,
    );
  });

  it('flags: every unknown bit', () => {
    for (let bit = 1; bit < 32; bit++) {
      corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.flags, 2 ** bit, true))));
    }
    expect(decodeAdapter(forge(bytes, (view) => view.setUint32(u32Fields.flags, 1, true))).shape.rsLora).toBe(true);
  });

  it('alpha: NaN and infinities', () => {
    for (const alpha of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      corrupt(() => decodeAdapter(forge(bytes, (view) => view.setFloat64(32, alpha, true))));
    }
  });

  it('format version: newer ones are told apart, version 0 never existed', () => {
    for (const version of [2, 3, 256, 0x80000000, 0xffffffff]) {
      const newer = forge(bytes, (view) => view.setUint32(8, version, true));
      expect(codeOf(() => decodeAdapter(newer))).toBe('ERR_ADAPTER_VERSION');
      // whatever a newer version looks like behind its number
      expect(codeOf(() => decodeAdapter(newer.fill(0xee, 12)))).toBe('ERR_ADAPTER_VERSION');
    }
    corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(8, 0, true))));
  });
});

describe('section table behind a checksum that fits', () => {
  const entry = (i: number) => TABLE + ENTRY * i;

  it('byte lengths', () => {
    for (let i = 0; i < 6; i++) {
      const length = i < 5 ? SECTION_BYTES : metaBytes;
      for (const wrong of [
        0xffffffff,
        0x80000000,
        0x7fffffff,
        bytes.length,
        length + 4,
        length + 1,
        length - 1,
        length - 4,
        0,
      ]) {
        corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint32(entry(i) + 4, wrong, true))));
      }
    }
  });

  it('byte lengths that are wrong in pairs, so that their sum is right', () => {
    for (const [i, j] of [
      [0, 1],
      [4, 5],
      [0, 5],
    ]) {
      corrupt(() =>
        decodeAdapter(
          forge(bytes, (view) => {
            view.setUint32(entry(i) + 4, view.getUint32(entry(i) + 4, true) - 4, true);
            view.setUint32(entry(j) + 4, view.getUint32(entry(j) + 4, true) + 4, true);
          }),
        ),
      );
    }
  });

  it('codes: unknown, twice, and out of order', () => {
    for (let i = 0; i < 6; i++) {
      for (let code = 0; code < 300; code++) {
        if (code !== i + 1) corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint16(entry(i), code, true))));
      }
      corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint16(entry(i), 0xffff, true))));
    }
  });

  it('codes: twice, out of order and unknown, while everything else fits', () => {
    const [weights, fisher, anchor, moment1, moment2, meta] = sections;
    const full = assemble(sections);
    expect(full).toEqual(bytes);
    corrupt(() => decodeAdapter(assemble([weights, fisher, fisher, anchor, meta])));
    corrupt(() => decodeAdapter(assemble([weights, weights, meta])));
    corrupt(() => decodeAdapter(assemble([weights, meta, meta])));
    corrupt(() => decodeAdapter(assemble([weights, fisher, moment1, anchor, moment2, meta])));
    corrupt(() => decodeAdapter(assemble([meta, weights])));
    corrupt(() => decodeAdapter(assemble([weights, meta, { ...fisher, code: 7 }])));
    corrupt(() => decodeAdapter(assemble([{ ...fisher, code: 0 }, weights, meta])));
  });

  it('encodings', () => {
    for (let i = 0; i < 6; i++) {
      for (const encoding of [0, i < 5 ? 2 : 1, 3, 0xffff]) {
        corrupt(() => decodeAdapter(forge(bytes, (view) => view.setUint16(entry(i) + 2, encoding, true))));
      }
    }
  });

  it('any set of sections but the four that make sense', () => {
    let accepted = 0;
    for (let set = 0; set < 64; set++) {
      const forged = assemble(sections.filter((_, i) => set & (1 << i)));
      if ([0b100001, 0b100111, 0b111001, 0b111111].includes(set)) {
        expect(encodeAdapter(decodeAdapter(forged))).toEqual(forged);
        accepted++;
      } else {
        corrupt(() => decodeAdapter(forged));
      }
    }
    expect(accepted).toBe(4);
  });
});

describe('content behind a checksum that fits', () => {
  it('numbers that are not finite, in every section and place', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let position = HEADER; position < META; position += 4) {
        corrupt(() => decodeAdapter(forge(bytes, (view) => view.setFloat32(position, value, true))));
      }
    }
  });

  it('negative numbers, only where they cannot be', () => {
    for (let section = 0; section < 5; section++) {
      const position = HEADER + SECTION_BYTES * section + 52;
      const forged = forge(bytes, (view) => view.setFloat32(position, -(2 ** -149), true));
      if (section === 1 || section === 4) corrupt(() => decodeAdapter(forged));
      else decodeAdapter(forged);
    }
  });

  const withMeta = (meta: string | Uint8Array) => {
    const replaced = splice(bytes, META, metaBytes, Buffer.from(meta as string));
    return forge(replaced, (view) => view.setUint32(TABLE + 5 * ENTRY + 4, replaced.length - 32 - META, true));
  };

  it('replacing meta is itself fine', () => {
    expect(decodeAdapter(withMeta('{"a":[1]}')).meta).toEqual({ a: [1] });
  });

  it.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['null', 'null'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['a number', '7'],
    ['half an object', '{"a":'],
    ['two objects', '{}{}'],
    ['white space', '{} '],
    ['a duplicate key', '{"a":1,"a":2}'],
    ['a number that overflows', '{"a":1e999}'],
    ['a number written otherwise', '{"a":1.0}'],
    ['__proto__', '{"__proto__":{"polluted":true}}'],
    ['an escape written otherwise', '{"\\u0061":1}'],
    ['a NUL', '{}\0'],
    ['a byte order mark', '\ufeff{}'],
    ['UTF-8 cut short', Buffer.from('{"a":"☃').subarray(0, 8)],
    ['invalid UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff), Buffer.from('"}')])],
    ['overlong UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xc0, 0x80), Buffer.from('"}')])],
    ['a UTF-8 surrogate', Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('"}')])],
    ['deep arrays', `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`],
    ['deep objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['too much', JSON.stringify({ a: 'x'.repeat(2 ** 20) })],
  ])('meta that is %s', (_name, meta) => {
    corrupt(() => decodeAdapter(withMeta(meta)));
  });

  it('meta named __proto__ pollutes nothing', () => {
    corrupt(() => decodeAdapter(withMeta('{"__proto__":{"polluted":true}}')));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('random changes behind a checksum that fits', () => {
  it('end in an error or in an adapter that is exactly what the bytes say', () => {
    const random = new Random(hashSeed(11, 'mutations'));
    const below = (n: number) => Math.floor(random.uniform(0, n));
    let decoded = 0;
    let rejected = 0;
    for (let round = 0; round < 6000; round++) {
      let mutant = bytes;
      for (let changes = 1 + below(3); changes > 0; changes--) {
        // header and table get as much attention as the rest
        const position = below(2) ? below(HEADER) : below(bytes.length - 32);
        const inserted = Uint8Array.from({ length: below(4) }, () => [0, 1, 0x7f, 0x80, 0xff, below(256)][below(6)]);
        const deleted = below(3) ? inserted.length : below(5);
        mutant = splice(mutant, Math.min(position, mutant.length - 32), deleted, inserted);
      }
      let state: ReturnType<typeof decodeAdapter> | undefined;
      try {
        state = decodeAdapter(mutant);
      } catch {
        expect(['ERR_ADAPTER_CORRUPT', 'ERR_ADAPTER_VERSION']).toContain(codeOf(() => decodeAdapter(mutant)));
        rejected++;
      }
      if (state) {
        expect(Buffer.compare(encodeAdapter(state), mutant)).toBe(0);
        decoded++;
      }
    }
    // both ends are reached often, or the test would be looking elsewhere
    expect(decoded).toBeGreaterThan(500);
    expect(rejected).toBeGreaterThan(2000);
  });
});

describe('memory', () => {
  const claimLargest = (view: DataView) => {
    view.setUint32(u32Fields.rank, 256, true);
    view.setUint32(u32Fields.inFeatures, 8192, true);
    view.setUint32(u32Fields.outFeatures, 8192, true);
    for (let i = 0; i < 5; i++) view.setUint32(TABLE + ENTRY * i + 4, 4 * 256 * 16384, true);
  };

  it('a short blob that claims the largest shape allocates nothing of it', () => {
    const hostile = forge(bytes, claimLargest);
    expect(largestGrowth(500, () => corrupt(() => decodeAdapter(hostile)))).toBeLessThan(2 ** 20);
  });

  it('nor does one that stops in the middle of its header', () => {
    const hostile = forge(bytes.subarray(0, 106), claimLargest);
    expect(largestGrowth(500, () => corrupt(() => decodeAdapter(hostile)))).toBeLessThan(2 ** 20);
  });

  it('the measure itself works: an adapter of that shape shows', () => {
    const shape = { rank: 256, inFeatures: 8192, outFeatures: 8192, alpha: 1, rsLora: false };
    const weights = new Float32Array(256 * 16384);
    const real = encodeAdapter({ shape, weights, step: 0, meta: {} });
    const kept: unknown[] = [];
    const growth = largestGrowth(3, () => kept.push(decodeAdapter(real)));
    expect(growth).toBeGreaterThan(2 ** 24 - 1);
    // used after the measurement, so that none of it was freed during it
    expect([kept.length, weights.length]).toEqual([3, 256 * 16384]);
  });
});

/** The largest growth, in bytes, of all array memory by one of `rounds` calls of `action`. */
function largestGrowth(rounds: number, action: () => void): number {
  let largest = 0;
  for (let i = 0; i < rounds; i++) {
    const before = process.memoryUsage().arrayBuffers;
    action();
    largest = Math.max(largest, process.memoryUsage().arrayBuffers - before);
  }
  return largest;
}
