import { expect, it } from 'vitest';
import { QueryCache } from '../../src/reasoning/query-cache.js';

function cacheAt(maxEntries: number, ttlMs: number) {
  const clock = { now: 0 };
  return { clock, cache: new QueryCache<number>(maxEntries, ttlMs, () => clock.now) };
}

it('gives back what was set, until it is too old, and counts', () => {
  const { clock, cache } = cacheAt(10, 1000);
  expect(cache.get('a')).toBeUndefined();
  cache.set('a', 1);
  clock.now = 999;
  expect(cache.get('a')).toBe(1);
  expect(cache.counts).toEqual({ size: 1, hits: 1, misses: 1 });
  clock.now = 1000;
  expect(cache.get('a')).toBeUndefined();
  expect(cache.counts).toEqual({ size: 0, hits: 1, misses: 2 });
});

it('using a value does not make it younger, setting it anew does', () => {
  const { clock, cache } = cacheAt(10, 1000);
  cache.set('a', 1);
  clock.now = 600;
  expect(cache.get('a')).toBe(1);
  cache.set('a', 2);
  clock.now = 1500;
  expect(cache.get('a')).toBe(2);
  clock.now = 1600;
  expect(cache.get('a')).toBeUndefined();
});

it('never holds more than its bound; the one that was used least recently goes', () => {
  const { cache } = cacheAt(3, 1000);
  for (const key of ['a', 'b', 'c']) cache.set(key, 0);
  cache.get('a');
  cache.set('d', 4);
  expect(cache.counts.size).toBe(3);
  expect(['a', 'b', 'c', 'd'].map((key) => cache.get(key))).toEqual([0, undefined, 0, 4]);
  cache.set('d', 5);
  expect(cache.counts.size).toBe(3);
  for (let i = 0; i < 1000; i++) cache.set(`${i}`, i);
  expect(cache.counts.size).toBe(3);
});

it('forgets on clear, but for the counts', () => {
  const { cache } = cacheAt(3, 1000);
  cache.set('a', 1);
  cache.get('a');
  cache.clear();
  expect(cache.get('a')).toBeUndefined();
  expect(cache.counts).toEqual({ size: 0, hits: 1, misses: 1 });
});
