/** What the adapter learning engine takes and gives. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../checks.js';
import type { GenerateOptions } from '../llm/language-model.js';
import type { TrainingProgress } from '../llm/training-options.js';
import { type Logger, silentLogger } from '../logger.js';
import type { AdapterId } from './adapter-id.js';
import type { MergeStrategy } from './merge-strategy.js';
import type { MergeOptions } from './merging.js';
import type { MemoryOptions } from './training.js';

export interface EngineOptions extends Partial<MemoryOptions> {
  /** Of every random choice. Default 0. */
  seed?: number;
  /** Adapters that stay in memory for generation. Default 8. */
  loadedAdapters?: number;
  /** Earlier versions of an adapter that are kept. Default 10. */
  keptVersions?: number;
  /** Share of ten or more examples that is held back for the performance score. Default 0.1. */
  heldBackShare?: number;
  /** Steps that one feedback signal is worth. Default 8. */
  feedbackSteps?: number;
  /** What was created, trained, merged and deleted, and what could not be cleaned up. Default: none. */
  logger?: Logger;
}

export interface OperationOptions {
  signal?: AbortSignal;
}

export interface TrainOptions extends OperationOptions {
  onProgress?: (progress: TrainingProgress) => void;
}

/** How a model generates: see lorakeet/llm. */
export type AdapterGenerateOptions = Omit<GenerateOptions, 'adapter'>;

export interface MergeAdaptersOptions extends OperationOptions, MergeOptions {
  /** Default `merged_<strategy>`. */
  taskName?: string;
}

export interface TrainingSummary {
  version: number;
  /** Those trained on, and those held back for the performance score. */
  examples: number;
  heldBack: number;
  steps: number;
  tokens: number;
  /** Before the first and before the last step. */
  initialLoss: number;
  finalLoss: number;
  performanceScore?: number;
}

export interface MergeSummary {
  id: AdapterId;
  parents: readonly AdapterId[];
  strategy: MergeStrategy;
  /** What the rank of the merged adapter could not hold, relative to the merge; see lorakeet/merge. */
  residual: number;
}

export interface Evaluation {
  /** Mean −log p of the tokens of the outputs, in nats. */
  loss: number;
  /** exp(−loss) */
  performanceScore: number;
}

const DEFAULTS: Required<EngineOptions> = {
  seed: 0,
  loadedAdapters: 8,
  keptVersions: 10,
  heldBackShare: 0.1,
  feedbackSteps: 8,
  logger: silentLogger,
  ewcLambda: 500,
  fisherDecay: 0.9,
  fisherSamples: 32,
  replaySize: 64,
  replayShare: 0.25,
};

/** With every default filled in. Throws ERR_INVALID_CONFIG naming the option. */
export function requireEngineOptions(options: EngineOptions): Required<EngineOptions> {
  rejectUnknownKeys('options', options, Object.keys(DEFAULTS));
  const all = { ...DEFAULTS, ...options };
  requireInteger('options.seed', all.seed, 0, 2 ** 32 - 1);
  requireInteger('options.loadedAdapters', all.loadedAdapters, 0, 1e6);
  requireInteger('options.keptVersions', all.keptVersions, 0, 1e6);
  requireInteger('options.feedbackSteps', all.feedbackSteps, 1, 1e6);
  requireInteger('options.fisherSamples', all.fisherSamples, 0, 1e6);
  requireInteger('options.replaySize', all.replaySize, 0, 1e6);
  if (typeof all.logger?.warn !== 'function') fail('ERR_INVALID_CONFIG', 'options.logger', all.logger, 'a logger');
  requireNumber('options.heldBackShare', all.heldBackShare, { min: 0, max: 0.5 });
  requireNumber('options.ewcLambda', all.ewcLambda, { min: 0 });
  requireNumber('options.fisherDecay', all.fisherDecay, { min: 0, max: 1 });
  requireNumber('options.replayShare', all.replayShare, { min: 0, max: 1 });
  return all;
}
