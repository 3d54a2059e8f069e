/** The dense operations of the addon check what they get: nothing is read or written outside of an array. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../src/kernels/native.js';
import { root } from '../support/imports.js';

const native = nativeInfo();
const addon = () => createRequire(import.meta.url)(join(root, native.file as string));

function codeOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return 'nothing thrown';
}

const [x, y, out] = [new Float32Array(6), new Float64Array(12), new Float64Array(8)];
/** x [2 × 3] times y [3 × 4] */
const good: unknown[] = ['baseline', 2, 3, 4, x, 3, 1, y, 4, 1, out, 1];

describe.skipIf(!native.available)('multiply', () => {
  it.each<[number, unknown, string]>([
    [0, 'quantum', 'ERR_BACKEND_UNAVAILABLE'],
    [0, 7, 'ERR_BACKEND_UNAVAILABLE'],
    [1, -1, 'ERR_INVALID_ARGUMENT'],
    [1, 1.5, 'ERR_INVALID_ARGUMENT'],
    [1, Number.NaN, 'ERR_INVALID_ARGUMENT'],
    [1, 2 ** 32, 'ERR_INVALID_ARGUMENT'],
    [1, 3, 'ERR_LENGTH_MISMATCH'],
    [2, 4, 'ERR_LENGTH_MISMATCH'],
    [2, 4294967295, 'ERR_LENGTH_MISMATCH'],
    [3, 5, 'ERR_LENGTH_MISMATCH'],
    [4, new Float32Array(5), 'ERR_LENGTH_MISMATCH'],
    [4, new Float32Array(0), 'ERR_LENGTH_MISMATCH'],
    [4, new Int32Array(6), 'ERR_INVALID_ARGUMENT'],
    [4, undefined, 'ERR_INVALID_ARGUMENT'],
    [5, 4, 'ERR_LENGTH_MISMATCH'],
    [5, 4294967295, 'ERR_LENGTH_MISMATCH'],
    [6, 2, 'ERR_LENGTH_MISMATCH'],
    [9, '1', 'ERR_INVALID_ARGUMENT'],
    [10, new Float64Array(7), 'ERR_LENGTH_MISMATCH'],
    [10, new Float32Array(8), 'ERR_INVALID_ARGUMENT'],
    [11, -1, 'ERR_INVALID_ARGUMENT'],
  ])('refuses argument %i as %o', (index, value, code) => {
    const { multiply } = addon();
    expect(codeOf(() => multiply(...good))).toBe('nothing thrown');
    expect(codeOf(() => multiply(...good.with(index, value)))).toBe(code);
  });
});

describe.skipIf(!native.available)('symmetricEigen', () => {
  it('refuses sizes that do not fit, and what is not finite', () => {
    const { symmetricEigen } = addon();
    const [nine, three] = [new Float64Array(9), new Float64Array(3)];
    expect(codeOf(() => symmetricEigen('baseline', 3, nine, three))).toBe('nothing thrown');
    expect(codeOf(() => symmetricEigen('baseline', 2, nine, three))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => symmetricEigen('baseline', 3, nine, new Float64Array(4)))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => symmetricEigen('baseline', 3, three, nine))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => symmetricEigen('baseline', 4294967295, nine, three))).toBe('ERR_LENGTH_MISMATCH');
    expect(codeOf(() => symmetricEigen('baseline', 3, nine.fill(Number.NaN), three))).toBe('ERR_NOT_FINITE');
    expect(codeOf(() => symmetricEigen())).toBe('ERR_BACKEND_UNAVAILABLE');
  });
});
