import { expect, it } from 'vitest';
import { formatBytes, formatFigure, formatSeconds, formatShare } from '../../../src/service/dashboard/page/format.js';

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

it.each([
  [0, '0'],
  [2.34567, '2.346'],
  [-0.5, '-0.5'],
  [0.000123, '1.23e-4'],
  [1234567, '1.23e+6'],
  [5321.4, '5321'],
])('writes the figure %s as %s', (value, text) => expect(formatFigure(value)).toBe(text));

it.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [391 * 1024, '391 KiB'],
  [2.5 * 1024 ** 3, '2.5 GiB'],
])('writes %s bytes as %s', (bytes, text) => expect(plain(formatBytes(bytes))).toBe(text));

it.each([
  [0.0434, '43 ms'],
  [41, '41.0 s'],
  [61, '1 min 1 s'],
  [3 * 3600 + 125, '3 h 2 min'],
  [90_000, '1 d 1 h'],
])('writes %s seconds as %s', (seconds, text) => expect(plain(formatSeconds(seconds))).toBe(text));

it('writes shares with a decimal place at most', () => expect([0.9167, 1].map(formatShare)).toEqual(['91.7%', '100%']));
