/** Sample data shared by the tests of this folder: reproducible vectors, feedback, events. */
import { expect } from 'vitest';
import { Random } from '../../src/adapter/random.js';
import type { LorakeetErrorCode } from '../../src/errors.js';
import { silentLogger } from '../../src/logger.js';
import type { AdapterFeedback, WatchEvent } from '../../src/personalization/types.js';

export const quiet = { logger: silentLogger };

export function randomVector(length: number, seed = 1): Float32Array {
  const random = new Random([seed, 2, 3, 4]);
  return Float32Array.from({ length }, () => random.uniform(-1, 1));
}

/** Rows with explicit targets; different seeds give different rows. */
export function feedbackRows(count: number, dim: number, seed = 1): AdapterFeedback[] {
  return Array.from({ length: count }, (_, i) => ({
    contentEmbedding: randomVector(dim, 1000 * seed + 2 * i),
    targetEmbedding: randomVector(dim, 1000 * seed + 2 * i + 1),
    reward: 1,
    timestamp: new Date(0),
  }));
}

export function watchEvent(changes: Partial<WatchEvent> = {}): WatchEvent {
  return {
    userId: 'user-001',
    contentId: 42,
    mediaType: 'movie',
    platformId: 'web',
    duration: 5400,
    totalDuration: 6000,
    completionRate: 0.9,
    isRewatch: false,
    context: { dayOfWeek: 5, hourOfDay: 21, isGroupWatch: false },
    timestamp: new Date('2025-12-07T20:00:00Z'),
    ...changes,
  };
}

/** For toThrow and rejects.toEqual: an error with this code whose message contains `text`. */
export function coded(code: LorakeetErrorCode, text = ''): Error {
  return expect.objectContaining({ code, message: expect.stringContaining(text) });
}
