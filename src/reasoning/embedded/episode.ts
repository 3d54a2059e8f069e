/** An episode's structured part: as it came, or read from the JSON that the contract stores it as. */
import type { AdaptationSituation, EpisodeInput, EpisodeOutput, ReasoningBankPattern } from '../contract.js';

/** What situations are compared by. */
export type Situation = Omit<AdaptationSituation, 'previousLoss' | 'useEWC'>;

export interface Episode {
  /** With the settings that were used */
  input: Situation;
  output: Pick<EpisodeOutput, 'lossBefore' | 'correctionRms' | 'lossAfter'>;
}

/** The pattern's structured part; undefined if it is some other pattern, which is then known by its words alone. */
export function episodeOf(pattern: Pick<ReasoningBankPattern, 'input' | 'output' | 'episode'>): Episode | undefined {
  const { input, output } = pattern.episode ?? {
    input: parseObject(pattern.input),
    output: parseObject(pattern.output),
  };
  if (!input || !output || !isSituation(input)) return undefined;
  const { lossBefore, correctionRms, lossAfter } = output as Partial<EpisodeOutput>;
  if (!isAtLeast(lossBefore, 0) || !isAtLeast(correctionRms, 0) || !isAtLeast(lossAfter, 0)) return undefined;
  return { input, output: { lossBefore, correctionRms, lossAfter } };
}

/** Whether every number is there that the bank goes by. */
export function isSituation(value: object): value is Situation {
  const situation = value as Partial<EpisodeInput>;
  const feedback = situation.feedback as Partial<EpisodeInput['feedback']> | undefined;
  return (
    typeof situation.userId === 'string' &&
    isAtLeast(situation.rank, 1) &&
    isAtLeast(situation.embeddingDim, 1) &&
    isAtLeast(situation.batchSize, 1) &&
    isAtLeast(situation.previousVersion, 1) &&
    isAtLeast(situation.learningRate, Number.MIN_VALUE) &&
    isAtLeast(situation.clipThreshold, Number.MIN_VALUE) &&
    isAtLeast(situation.ewcLambda, 0) &&
    (situation.optimizer === 'sgd' || situation.optimizer === 'adamw') &&
    typeof feedback === 'object' &&
    feedback !== null &&
    isAtLeast(feedback.meanReward, 0) &&
    isAtLeast(feedback.targetShare, 0) &&
    isAtLeast(feedback.inputRms, 0) &&
    isAtLeast(feedback.residualRms, 0) &&
    isAtLeast(feedback.coherence, 0)
  );
}

function parseObject(json: string | undefined): object | undefined {
  if (json === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function isAtLeast(value: number | undefined, min: number): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= min;
}
