/** What a user thinks of a generation. */
import { allOf, ensure, notBlank } from './checks.js';
import type { Result, Unit } from './result.js';

export const FEEDBACK_TYPES = ['userCorrection', 'successSignal', 'failureSignal', 'preferenceRanking'] as const;
export type FeedbackType = (typeof FEEDBACK_TYPES)[number];

/** Immutable; anything may be given to the constructor, and validate() says whether it can be used. */
export class FeedbackSignal {
  constructor(
    readonly type: FeedbackType,
    /** From −1 to 1. */
    readonly score: number,
    /** What should have been generated; of a correction. */
    readonly correction?: string,
    /** What the generation was preferred to; of a preference, where it is known. */
    readonly rejected?: string,
  ) {
    Object.freeze(this);
  }

  /** The generation should have been this text. */
  static userCorrection(correction: string): FeedbackSignal {
    return new FeedbackSignal('userCorrection', 1, correction);
  }

  /** The generation was good; the score is clamped to 0…1. */
  static success(score = 1): FeedbackSignal {
    return new FeedbackSignal('successSignal', clamp(score, 0, 1));
  }

  /** The generation was bad; the score is clamped to −1…0. */
  static failure(score = -1): FeedbackSignal {
    return new FeedbackSignal('failureSignal', clamp(score, -1, 0));
  }

  /** The generation was preferred, to `rejected` where that is known; the score is clamped to 0…1. */
  static preference(score: number, rejected?: string): FeedbackSignal {
    return new FeedbackSignal('preferenceRanking', clamp(score, 0, 1), undefined, rejected);
  }

  validate(): Result<Unit> {
    const { type, score } = this;
    return allOf(
      () => ensure(FEEDBACK_TYPES.includes(type), `Feedback type must be one of ${FEEDBACK_TYPES.join(', ')}`),
      () => ensure(typeof score === 'number' && score >= -1 && score <= 1, 'Score must be between -1.0 and 1.0'),
      () => ensure(type !== 'failureSignal' || score <= 0, 'Score of a failure signal must not be positive'),
      () => ensure(type === 'failureSignal' || score >= 0, 'Only a failure signal has a negative score'),
      () =>
        ensure(
          type !== 'userCorrection' || notBlank('Correction', this.correction).isSuccess,
          'User correction requires correction text',
        ),
      () =>
        ensure(
          this.rejected === undefined || notBlank('Rejected', this.rejected).isSuccess,
          'Rejected text cannot be empty',
        ),
    );
  }
}

/** NaN stays NaN, for validate() to find. */
function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
