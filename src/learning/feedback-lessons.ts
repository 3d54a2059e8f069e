/** What a feedback signal means for training. */
import type { TextExample } from '../llm/text-examples.js';
import type { FeedbackSignal } from './feedback-signal.js';

export interface Lesson {
  example: TextExample;
  /** From 0 to 1: how much of the learning rate it deserves, as a weight alone does not count in a batch of one. */
  strength: number;
}

/**
 * A correction is to be written instead; a success and a preference without an alternative, again; of a preference with an
 * alternative the one is preferred to the other; a failure is made less likely. Undefined for a score of 0: nothing to learn.
 */
export function lessonOf(prompt: string, generation: string, feedback: FeedbackSignal): Lesson | undefined {
  const strength = Math.abs(feedback.score);
  if (strength === 0) return undefined;
  switch (feedback.type) {
    case 'userCorrection':
      return { strength, example: { prompt, completion: feedback.correction as string } };
    case 'successSignal':
      return { strength, example: { prompt, completion: generation } };
    case 'failureSignal':
      return { strength, example: { prompt, rejected: generation } };
    case 'preferenceRanking': {
      const { rejected } = feedback;
      const example =
        rejected === undefined ? { prompt, completion: generation } : { prompt, chosen: generation, rejected };
      return { strength, example };
    }
  }
}
