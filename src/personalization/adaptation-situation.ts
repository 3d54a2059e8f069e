/** An update in the terms of a ReasoningBank: what is known before it, and what came of it. */
import type { AdaptationEpisode, AdaptationHints, AdaptationSituation } from '../reasoning/contract.js';
import { feedbackStatistics } from '../reasoning/feedback-statistics.js';
import type { ConfiguredSettings } from '../reasoning/hints.js';
import type { ResolvedConfig } from './options.js';
import type { FeedbackRows } from './training-step.js';
import type { AdapterFeedback, UserLoRAAdapter } from './types.js';

/** The settings that advice can change, as the engine is configured. */
export function configuredSettings(config: ResolvedConfig): ConfiguredSettings {
  return {
    learningRate: config.learningRate,
    clipThreshold: config.gradientClipThreshold,
    ewcLambda: config.useEWC ? config.ewcLambda : 0,
  };
}

/** The settings of one update: what is advised, and as configured otherwise. */
export function advisedSettings(configured: ConfiguredSettings, hints: AdaptationHints): ConfiguredSettings {
  return {
    learningRate: hints.suggestedLearningRate ?? configured.learningRate,
    clipThreshold: hints.suggestedClipThreshold ?? configured.clipThreshold,
    ewcLambda: hints.suggestedEwcLambda ?? configured.ewcLambda,
  };
}

export function situationOf(
  config: ResolvedConfig,
  adapter: UserLoRAAdapter,
  feedback: readonly AdapterFeedback[],
  rows: FeedbackRows,
): AdaptationSituation {
  let targets = 0;
  let rewards = 0;
  for (let i = 0; i < rows.count; i++) {
    if (feedback[i].targetEmbedding !== undefined) targets += 1;
    rewards += rows.rewards[i];
  }
  return {
    userId: adapter.userId,
    rank: config.rank,
    embeddingDim: config.embeddingDim,
    batchSize: rows.count,
    previousVersion: adapter.version,
    previousLoss: adapter.metadata.avgLoss,
    ...configuredSettings(config),
    useEWC: config.useEWC,
    optimizer: config.optimizer.kind,
    feedback: feedbackStatistics(rows, { meanReward: rewards / rows.count, targetShare: targets / rows.count }),
  };
}

/** The episode of an update that started at `previous`, which may be newer than the adapter the situation was of. */
export function episodeOf(
  situation: AdaptationSituation,
  settings: ConfiguredSettings,
  hints: AdaptationHints,
  previous: { version: number; avgLoss: number; correctionRms: number },
  updated: UserLoRAAdapter,
  trainingTimeMs: number,
): AdaptationEpisode {
  const { avgLoss, totalSamples, lastBatch } = updated.metadata;
  const { lossBefore, lossAfter } = lastBatch as NonNullable<typeof lastBatch>;
  return {
    input: {
      ...situation,
      ...settings,
      previousVersion: previous.version,
      previousLoss: previous.avgLoss,
      reasoningBankHintsUsed: Object.keys(hints).length > 0,
    },
    output: {
      newVersion: updated.version,
      avgLoss,
      lossBefore,
      correctionRms: previous.correctionRms,
      lossAfter,
      lossImprovement: lossBefore - lossAfter,
      trainingTimeMs,
      totalSamples,
    },
  };
}
