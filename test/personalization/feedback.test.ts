import { describe, expect, it } from 'vitest';
import { createAdapterFeedback, type WatchEvent } from '../../src/index.js';
import { coded, watchEvent } from './samples.js';

const content = Float32Array.of(1, 2, 3);
const reward = (changes: Partial<WatchEvent>, ratingMax?: number) =>
  createAdapterFeedback(watchEvent(changes), content, undefined, { ratingMax }).reward;

describe('reward', () => {
  it('adds half the completion, three tenths of the rating, two tenths for a rewatch', () => {
    expect(reward({ completionRate: 1 })).toBe(0.5);
    expect(reward({ completionRate: 1, rating: 5 })).toBe(0.8);
    expect(reward({ completionRate: 1, rating: 5, isRewatch: true })).toBe(1);
    expect(reward({ completionRate: 0.8, rating: 4 })).toBeCloseTo(0.64, 12);
  });

  it('takes a rating of 0 for a rating on the scale given', () => {
    expect(reward({ completionRate: 1, rating: 0 })).toBe(0.5);
    expect(reward({ completionRate: 1, rating: 10 }, 10)).toBe(0.8);
    expect(reward({ completionRate: 1, rating: 5 }, 10)).toBeCloseTo(0.65, 12);
  });

  it('stays within 0 and 1', () => {
    expect(reward({ completionRate: -1 })).toBe(0);
    expect(reward({ completionRate: 3 })).toBe(1);
  });
});

it('carries the event, its time and the embeddings', () => {
  const event = watchEvent();
  const target = Float32Array.of(3, 2, 1);
  expect(createAdapterFeedback(event, content, target)).toEqual({
    contentEmbedding: content,
    targetEmbedding: target,
    reward: 0.45,
    watchEvent: event,
    timestamp: event.timestamp,
  });
});

describe('rejects', () => {
  const cases: [string, Partial<Record<keyof WatchEvent, unknown>>, Parameters<typeof coded>][] = [
    ['completionRate NaN', { completionRate: Number.NaN }, ['ERR_NOT_FINITE', 'watchEvent.completionRate']],
    ['completionRate missing', { completionRate: undefined }, ['ERR_INVALID_ARGUMENT', 'watchEvent.completionRate']],
    ['rating above the scale', { rating: 6 }, ['ERR_OUT_OF_RANGE', 'watchEvent.rating']],
    ['rating below 0', { rating: -1 }, ['ERR_OUT_OF_RANGE', 'watchEvent.rating']],
    ['rating NaN', { rating: Number.NaN }, ['ERR_NOT_FINITE', 'watchEvent.rating']],
    ['rating as text', { rating: '5' }, ['ERR_INVALID_ARGUMENT', 'watchEvent.rating']],
    ['isRewatch missing', { isRewatch: undefined }, ['ERR_INVALID_ARGUMENT', 'watchEvent.isRewatch']],
    ['an invalid date', { timestamp: new Date(Number.NaN) }, ['ERR_INVALID_ARGUMENT', 'watchEvent.timestamp']],
  ];
  for (const [name, changes, [code, text]] of cases) {
    it(name, () => {
      expect(() => createAdapterFeedback(watchEvent(changes as Partial<WatchEvent>), content)).toThrow(
        coded(code, text),
      );
    });
  }

  it('embeddings that are not vectors of one length', () => {
    const nan = Float32Array.of(1, Number.NaN, 3);
    expect(() => createAdapterFeedback(watchEvent(), nan)).toThrow(coded('ERR_NOT_FINITE', 'contentEmbedding[1]'));
    expect(() => createAdapterFeedback(watchEvent(), content, nan)).toThrow(
      coded('ERR_NOT_FINITE', 'targetEmbedding[1]'),
    );
    expect(() => createAdapterFeedback(watchEvent(), content, new Float32Array(2))).toThrow(
      coded('ERR_LENGTH_MISMATCH', 'targetEmbedding'),
    );
    expect(() => createAdapterFeedback(watchEvent(), [1, 2, 3] as unknown as Float32Array)).toThrow(
      coded('ERR_INVALID_ARGUMENT', 'contentEmbedding'),
    );
  });

  it('options that are none', () => {
    expect(() => createAdapterFeedback(watchEvent(), content, undefined, { ratingMax: 0 })).toThrow(
      coded('ERR_INVALID_CONFIG', 'options.ratingMax'),
    );
    expect(() => createAdapterFeedback(watchEvent(), content, undefined, { scale: 10 } as object)).toThrow(
      coded('ERR_INVALID_CONFIG', 'options.scale'),
    );
  });
});
