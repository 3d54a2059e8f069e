import { describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/adapter/formats/dtypes.js';
import { hashSeed, Random } from '../../../src/adapter/random.js';
import { codeOf } from '../helpers.js';

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe.each([
  ['F16', 65504, 0x7c00],
  ['BF16', 3.3895313892515355e38, 0x7f80],
] as const)('%s', (dtype, largest, infinity) => {
  const values = toFloat32(dtype, all);
  const ordered = [...values.filter(Number.isFinite)].sort((a, b) => a - b);

  it('knows its landmarks', () => {
    const one = dtype === 'F16' ? 0x3c00 : 0x3f80;
    expect([values[0], values[one], values[infinity], values[infinity + 1]]).toEqual([0, 1, Infinity, Number.NaN]);
    expect(Object.is(values[0x8000], -0)).toBe(true);
    expect([values[1], values[infinity - 1]]).toEqual([dtype === 'F16' ? 2 ** -24 : 2 ** -133, largest]);
  });

  it('survives float32 and back, every pattern of bits but the payloads of NaN', () => {
    const finite = all.filter((bits) => (bits & 0x7fff) < infinity);
    expect(fromFloat32('x', dtype, toFloat32(dtype, finite))).toEqual(finite);
    const nans = fromFloat32(
      'x',
      dtype,
      toFloat32(
        dtype,
        all.filter((bits) => (bits & 0x7fff) > infinity),
      ),
    );
    expect(nans.every((bits) => ((bits as number) & 0x7fff) > infinity)).toBe(true);
    expect([...fromFloat32('x', dtype, Float32Array.of(Infinity, -Infinity))]).toEqual([infinity, infinity + 0x8000]);
  });

  it('rounds to the nearest, ties to even bits', () => {
    const random = new Random(hashSeed(3, dtype));
    const bitsOf = new Map(Array.from(all, (bits) => [values[bits], bits]));
    for (let round = 0; round < 20000; round++) {
      const i = Math.min(ordered.length - 2, Math.floor(random.uniform(0, ordered.length - 1)));
      const [low, high] = [ordered[i], ordered[i + 1]];
      const middle = Math.fround((low + high) / 2);
      for (const value of [middle, Math.fround(random.uniform(low, high))]) {
        const [down, up] = [value - low, high - value];
        const even = ((bitsOf.get(low) as number) & 1) === 0 ? low : high;
        const nearest = down < up ? low : down > up ? high : even;
        expect(toFloat32(dtype, fromFloat32('x', dtype, Float32Array.of(value)))[0] === nearest, `${value}`).toBe(true);
      }
    }
  });

  it('refuses finite numbers that only infinity is near to', () => {
    expect(fromFloat32('x', dtype, Float32Array.of(largest))[0]).toBe(infinity - 1);
    const tooLarge = dtype === 'F16' ? 65520 : 3.4e38;
    expect(codeOf(() => fromFloat32('x', dtype, Float32Array.of(1, -tooLarge)))).toBe('ERR_OUT_OF_RANGE');
  });
});
