/** What one update was like, as the documents have it stored, and as it is read back from any bank. */
import {
  type AdaptationEpisode,
  adaptationTask,
  type ReasoningBankPattern,
  type RetrievedPattern,
} from './contract.js';

/** A batch's loss below which its update counts as a success, as documented. */
const SUCCESS_LOSS = 0.15;

/**
 * The documented record of an episode. It is a success if the step did not raise the loss on its own batch and left it
 * below 0.15; the reward is 1 − that loss, not below 0.
 */
export function patternOf(episode: AdaptationEpisode, sessionId: string): ReasoningBankPattern {
  const { input, output } = episode;
  const { lossBefore, lossAfter, trainingTimeMs } = output;
  const settings = `learning rate ${input.learningRate}${input.reasoningBankHintsUsed ? ', on advice' : ''}`;
  return {
    sessionId,
    task: adaptationTask(input),
    input: JSON.stringify(input),
    output: JSON.stringify(output),
    critique:
      `Loss ${lossBefore.toPrecision(4)} before and ${lossAfter.toPrecision(4)} after the step ` +
      `on ${input.batchSize} samples (${settings})`,
    success: lossAfter < SUCCESS_LOSS && lossAfter <= lossBefore,
    reward: Math.max(0, 1 - lossAfter),
    latencyMs: trainingTimeMs,
    episode,
  };
}

/** One of getSimilarAdaptations' results. */
export interface SimilarAdaptation {
  userId: string;
  rank: number;
  avgLoss: number;
  reward: number;
  /** As configured or advised then, before a schedule's factor. */
  learningRate: number;
}

/** What a retrieved pattern says; fields that it does not have are taken from `otherwise`. Throws if its JSON is broken. */
export function similarAdaptationOf(pattern: RetrievedPattern, otherwise: SimilarAdaptation): SimilarAdaptation {
  const { userId, rank, learningRate } = objectIn(pattern.input);
  const { avgLoss } = objectIn(pattern.output);
  return {
    userId: typeof userId === 'string' ? userId : otherwise.userId,
    rank: numberOr(rank, otherwise.rank),
    avgLoss: numberOr(avgLoss, otherwise.avgLoss),
    reward: numberOr(pattern.reward, otherwise.reward),
    learningRate: numberOr(learningRate, otherwise.learningRate),
  };
}

function objectIn(json: string | undefined): Record<string, unknown> {
  const value: unknown = json === undefined ? {} : JSON.parse(json);
  if (typeof value !== 'object' || value === null) throw new TypeError(`got ${json}, expected an object in JSON`);
  return value as Record<string, unknown>;
}

/** 0 is a number like any other. */
function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}
