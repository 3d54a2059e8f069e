import { describe, expect, it } from 'vitest';
import { fromWire, toWire } from '../../src/service/wire.js';

const status = {
  knownGood: 'v1.2',
  previous: null,
  history: [{ at: '2026-01-05T02:00:00.000Z', fromVersion: null, override: false }],
  goldenThresholds: { maxRegressions: 1 },
  feedback: { byIntent: { smallTalk: 2, two_words: 1 }, byType: { thumbs_up: 3 } },
  request: { auditContext: { changeTicket: { deepKey: 1 } }, topK: 3 },
  sha256: 'ab',
};

describe('the wire', () => {
  it('has keys with underscores, but for those that are data', () => {
    expect(toWire(status)).toEqual({
      known_good: 'v1.2',
      previous: null,
      history: [{ at: '2026-01-05T02:00:00.000Z', from_version: null, override: false }],
      golden_thresholds: { max_regressions: 1 },
      feedback: { by_intent: { smallTalk: 2, two_words: 1 }, by_type: { thumbs_up: 3 } },
      request: { audit_context: { changeTicket: { deepKey: 1 } }, top_k: 3 },
      sha256: 'ab',
    });
  });

  it('gives back what was put in', () => {
    expect(fromWire(toWire(status))).toEqual(status);
  });

  it('writes dates, and leaves out what is undefined', () => {
    const runAt = new Date(0);
    expect(toWire({ runAt, startedAt: undefined })).toStrictEqual({ run_at: '1970-01-01T00:00:00.000Z' });
  });
});
