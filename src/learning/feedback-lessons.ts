/** What a feedback signal means for training. */
import type { TextExample } from '../llm/text-examples.js';
import type { FeedbackSignal } from './feedback-signal.js';

export interface Lesson {
  example: TextExample;
  /** From 0 to 1: how much of the learning rate it deserves, as a weight alone does not count in a batch of one. */
  strength: number;
  /** What the adapter is to write after the prompt from now on, and to be reminded of. */
  wanted?: string;
  /** What it is not to be reminded of any more. */
  unwanted?: string;
}

/**
 * A correction is to be written instead; a success and a preference without an alternative, again; of a preference with an
 * alternative the one is preferred to the other; a failure is made less likely. Undefined for a score of 0: nothing to learn.
 */
export function lessonOf(prompt: string, generation: string, feedback: FeedbackSignal): Lesson | undefined {
  const { type, score, correction, rejected } = feedback;
  const strength = Math.abs(score);
  if (strength === 0) return undefined;
  const write = (wanted: string) => ({ strength, example: { prompt, completion: wanted }, wanted });
  switch (type) {
    case 'userCorrection':
      return correction === generation ? write(generation) : { ...write(correction as string), unwanted: generation };
    case 'successSignal':
      return write(generation);
    case 'failureSignal':
      return { strength, example: { prompt, rejected: generation }, unwanted: generation };
    case 'preferenceRanking':
      if (rejected === undefined) return write(generation);
      return { strength, example: { prompt, chosen: generation, rejected }, unwanted: rejected };
  }
}
