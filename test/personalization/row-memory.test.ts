import { describe, expect, it } from 'vitest';
import { misalignment } from '../../src/kernels/native.js';
import { RowMemory } from '../../src/personalization/row-memory.js';
import { coded } from './samples.js';

const LONG = 10_000;

describe('row memory', () => {
  it('has the length asked for', () => {
    const memory = new RowMemory();
    for (const length of [0, 1, 4096, 4097, LONG]) expect(memory.take(length)).toHaveLength(length);
  });

  it('is lent again once it is given back, for as much or less', () => {
    const memory = new RowMemory();
    const first = memory.take(LONG);
    memory.give(first);
    const second = memory.take(LONG - 1000);
    expect(second.buffer).toBe(first.buffer);
    expect(second).toHaveLength(LONG - 1000);
    memory.give(second);
    expect(memory.take(LONG).buffer).toBe(first.buffer);
  });

  it('is never lent to two at a time', () => {
    const memory = new RowMemory();
    const [a, b] = [memory.take(LONG), memory.take(LONG)];
    memory.give(a);
    memory.give(b);
    const all = [b, memory.take(LONG), memory.take(LONG), memory.take(3), memory.take(3)];
    expect(new Set(all.slice(1).map(({ buffer }) => buffer)).size).toBe(4);
  });

  it('is new when more is wanted than was given back', () => {
    const memory = new RowMemory();
    const small = memory.take(LONG);
    memory.give(small);
    const large = memory.take(2 * LONG);
    expect(large.buffer).not.toBe(small.buffer);
    memory.give(large);
    memory.give(memory.take(5)); // a small one does not take the place of a large one
    expect(memory.take(LONG).buffer).toBe(large.buffer);
  });

  it('starts on a cache line, lent again as well', () => {
    const memory = new RowMemory();
    const first = memory.take(LONG);
    memory.give(first);
    const second = memory.take(LONG - 1000);
    expect([first, second].map(misalignment)).toEqual([0, 0]);
    expect(second.byteOffset).toBe(first.byteOffset);
  });

  it('says so when there is none', () => {
    expect(() => new RowMemory().take(2 ** 45)).toThrow(coded('ERR_OUT_OF_MEMORY', 'no memory for'));
  });
});
