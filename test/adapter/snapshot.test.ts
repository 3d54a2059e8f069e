import { describe, expect, it } from 'vitest';
import { decodeAdapter, encodeAdapter, MIN_ADAPTER_BYTES } from '../../src/adapter/codec.js';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { decodeSnapshot, encodeSnapshot } from '../../src/adapter/snapshot.js';
import { bitsOf, codeOf, forge, golden, sampleState, splice, withChecksum } from './helpers.js';

const small = Uint8Array.from({ length: MIN_ADAPTER_BYTES }, (_, i) => i);
const blobs = [small, Uint8Array.from([...small, 1, 2, 3]), small.map((value) => 255 - value)];
const snapshot = encodeSnapshot(blobs);
const corrupt = (action: () => unknown) => expect(codeOf(action)).toBe('ERR_ADAPTER_CORRUPT');

describe('snapshots', () => {
  it('an independent program writes the same bytes', () => {
    const [plain, full] = [golden.plain, golden.full].map((hex) => Buffer.from(hex, 'hex'));
    expect(Buffer.from(encodeSnapshot([plain, full, plain])).toString('hex')).toBe(golden.snapshot);
    expect(Buffer.from(encodeSnapshot([])).toString('hex')).toBe(golden.emptySnapshot);
    expect(
      decodeSnapshot(Buffer.from(golden.snapshot, 'hex')).map((blob) => Buffer.from(blob).toString('hex')),
    ).toEqual([golden.plain, golden.full, golden.plain]);
    expect(decodeSnapshot(Buffer.from(golden.emptySnapshot, 'hex'))).toEqual([]);
  });

  it('give back what went in, from any iterable, at any byteOffset', () => {
    function* generate() {
      yield* blobs;
    }
    expect(encodeSnapshot(generate())).toEqual(snapshot);
    const larger = new Uint8Array(snapshot.length + 10);
    larger.set(snapshot, 3);
    expect(decodeSnapshot(larger.subarray(3, 3 + snapshot.length))).toEqual(blobs);
  });

  it('carry many adapters whose states come back bit for bit', () => {
    const states = Array.from({ length: 500 }, (_, i) => sampleState({ step: i, meta: { userId: `user-${i}` } }));
    const decoded = decodeSnapshot(encodeSnapshot(states.map(encodeAdapter))).map(decodeAdapter);
    expect(decoded.map(bitsOf)).toEqual(states.map(bitsOf));
  });

  it('reject what cannot be an adapter when written', () => {
    for (const wrong of [undefined, 'LORAKEET', [1, 2], new Uint8Array(0), small.subarray(1), new Float32Array(500)]) {
      expect(codeOf(() => encodeSnapshot([small, wrong as unknown as Uint8Array]))).toBe('ERR_INVALID_ARGUMENT');
      expect(() => encodeSnapshot([small, wrong as unknown as Uint8Array])).toThrow(/^adapters\[1\]: got /);
    }
    for (const wrong of [undefined, null, 5, {}]) {
      expect(codeOf(() => encodeSnapshot(wrong as unknown as Uint8Array[]))).toBe('ERR_INVALID_ARGUMENT');
    }
  });

  it('reject arguments of other types when read', () => {
    for (const wrong of [undefined, null, 'x', [1], snapshot.buffer]) {
      expect(codeOf(() => decodeSnapshot(wrong as unknown as Uint8Array))).toBe('ERR_INVALID_ARGUMENT');
    }
  });
});

describe('attacks on snapshots', () => {
  it('truncation at every length, with and without a checksum that fits', () => {
    for (let length = 0; length < snapshot.length; length++) {
      corrupt(() => decodeSnapshot(snapshot.subarray(0, length)));
      corrupt(() => decodeSnapshot(withChecksum(snapshot.subarray(0, length))));
    }
  });

  it('every single bit flipped', () => {
    for (let bit = 0; bit < 8 * snapshot.length; bit++) {
      const copy = Uint8Array.from(snapshot);
      copy[bit >> 3] ^= 1 << (bit & 7);
      const inVersion = bit >> 3 >= 8 && bit >> 3 < 12;
      const expected = inVersion && bit !== 64 ? 'ERR_ADAPTER_VERSION' : 'ERR_ADAPTER_CORRUPT';
      expect(codeOf(() => decodeSnapshot(copy))).toBe(expected);
    }
  });

  it('counts that are not the number of blobs', () => {
    for (const count of [0, 1, 2, 4, 5, 1000, 0x7fffffff, 0xffffffff]) {
      corrupt(() => decodeSnapshot(forge(snapshot, (view) => view.setUint32(12, count, true))));
    }
  });

  it('blob lengths that do not fit', () => {
    const room = snapshot.length - 32 - 20;
    for (const length of [0, 1, MIN_ADAPTER_BYTES - 1, MIN_ADAPTER_BYTES + 1, room, room + 1, 0x80000000, 0xffffffff]) {
      corrupt(() => decodeSnapshot(forge(snapshot, (view) => view.setUint32(16, length, true))));
    }
  });

  it('a blob too short to be an adapter, though the frame adds up', () => {
    const two = encodeSnapshot([blobs[0], blobs[2]]);
    const shortFirst = forge(two, (view) => {
      view.setUint32(16, 10, true);
      view.setUint32(30, two.length - 32 - 34, true);
    });
    corrupt(() => decodeSnapshot(shortFirst));
  });

  it('trailing bytes', () => {
    for (let more = 1; more < 200; more++) {
      corrupt(() => decodeSnapshot(splice(snapshot, snapshot.length - 32, 0, new Uint8Array(more))));
    }
  });

  it('an adapter is no snapshot, nor the other way round', () => {
    corrupt(() => decodeSnapshot(encodeAdapter(sampleState())));
    corrupt(() => decodeAdapter(snapshot));
  });

  it('random changes behind a checksum that fits', () => {
    const random = new Random(hashSeed(12, 'mutations'));
    const below = (n: number) => Math.floor(random.uniform(0, n));
    let decoded = 0;
    for (let round = 0; round < 3000; round++) {
      const inserted = Uint8Array.from({ length: below(4) }, () => below(256));
      const position = below(3) ? below(snapshot.length - 35) : [12, 16, 20 + small.length][below(3)];
      const mutant = splice(snapshot, position, below(3) ? inserted.length : below(4), inserted);
      let read: Uint8Array[] | undefined;
      try {
        read = decodeSnapshot(mutant);
      } catch {
        expect(['ERR_ADAPTER_CORRUPT', 'ERR_ADAPTER_VERSION']).toContain(codeOf(() => decodeSnapshot(mutant)));
      }
      if (read) {
        expect(Buffer.compare(encodeSnapshot(read), mutant)).toBe(0);
        decoded++;
      }
    }
    expect(decoded).toBeGreaterThan(300);
    expect(decoded).toBeLessThan(2700);
  });
});
