/**
 * What a ReasoningBank is: four methods. Any object that has them can be connected to an engine; the embedded bank, the
 * bridges to other libraries and an application's own bank are equal here, and `lorakeet/testing` has a suite for all.
 *
 * The strings are the documented interface. The structured parts (`situation`, `hints`) are optional on both sides: a bank
 * that does not know them ignores them, and an engine that finds no `hints` reads the recommendation's text.
 */
import { fail } from '../checks.js';

export interface ReasoningBankInstance {
  /** Keeps one episode and resolves, once it is kept, with its id. */
  storePattern(pattern: ReasoningBankPattern): Promise<number>;
  /** The episodes most similar to the query that pass every filter given, most similar first; empty if there are none. */
  retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]>;
  /** What past episodes teach about how to do `task`. */
  learnStrategy(task: string, situation?: AdaptationSituation): Promise<LearnedStrategy>;
  /**
   * Turns groups of similar episodes into skills: those of the last `lookbackDays` days that have at least `minUses`
   * episodes and a share of successes of at least `minSuccessRate`.
   */
  autoConsolidate(minUses?: number, minSuccessRate?: number, lookbackDays?: number): Promise<{ skillsCreated: number }>;
  /**
   * Beside the four, and optional: up to `k` other users whose updates went well in situations like this, the most
   * promising first. Warm starts choose among them. It answers at once, from memory, as createAdapter does; a promise is
   * not waited for.
   */
  similarUsers?(situation: AdaptationSituation, k: number): readonly string[];
}

/** One episode, as it is stored: `input` and `output` are JSON of an EpisodeInput and an EpisodeOutput. */
export interface ReasoningBankPattern {
  sessionId: string;
  /** What was done; see adaptationTask. */
  task: string;
  input?: string;
  output?: string;
  /** One sentence on how it went. */
  critique?: string;
  success: boolean;
  /** 0 … 1 */
  reward: number;
  latencyMs?: number;
  /** What `input` and `output` say, for a bank that would otherwise parse them; it does not come back. */
  episode?: AdaptationEpisode;
}

/** As it comes back: what was stored and, from a bank that says so, its id and how well it fits. */
export interface RetrievedPattern extends Omit<ReasoningBankPattern, 'episode'> {
  id?: number;
  /** 1 is the query itself; −1 … 1 */
  similarity?: number;
}

export interface ReasoningBankOptions {
  /** Most patterns to return, an integer ≥ 1; default 5 */
  k?: number;
  /** Only episodes with at least this reward */
  minReward?: number;
  onlySuccesses?: boolean;
  onlyFailures?: boolean;
  /** Searches by what the situation is like, beside the words of the query. */
  situation?: AdaptationSituation;
}

export interface LearnedStrategy {
  /** The episodes that the answer rests on, most similar first. */
  patterns: RetrievedPattern[];
  /** What was compared to arrive at it; its form is the bank's own. */
  causality: unknown;
  /** 0 … 1: from how much evidence, and how clear */
  confidence: number;
  /** A sentence or two, in the words that the hint parser reads; empty if there is nothing to recommend. */
  recommendation: string;
  /** The same as numbers; they win over the text. */
  hints?: AdaptationHints;
}

/** Settings for one update; what is absent stays as the engine is configured. */
export interface AdaptationHints {
  /** In place of the configured learningRate, so a schedule multiplies it as it does the configured one; > 0 */
  suggestedLearningRate?: number;
  /** In place of gradientClipThreshold; > 0 */
  suggestedClipThreshold?: number;
  /** ≥ 0 */
  suggestedEwcLambda?: number;
}

/** What is known before an update: the adapter, the settings that would be used, the rows to learn. */
export interface AdaptationSituation {
  userId: string;
  rank: number;
  embeddingDim: number;
  /** Feedback rows */
  batchSize: number;
  /** Version of the adapter to be updated: 1 plus the updates so far. */
  previousVersion: number;
  /** Moving average of the loss so far; 0 before the first update. */
  previousLoss: number;
  /** As configured, before any schedule's factor. */
  learningRate: number;
  clipThreshold: number;
  useEWC: boolean;
  ewcLambda: number;
  optimizer: 'sgd' | 'adamw';
  feedback: FeedbackStatistics;
}

/** The rows x (content) and t (target) of one batch, each of d features, in a few numbers; means are over the rows. */
export interface FeedbackStatistics {
  /** 0 … 1 */
  meanReward: number;
  /** Share of the rows with a target of their own, 0 … 1 */
  targetShare: number;
  /** √ mean of ‖x‖²/d */
  inputRms: number;
  /** √ mean of ‖t − x‖²/d: the square root of the loss of an adapter that has learnt nothing */
  residualRms: number;
  /** ‖mean of x/‖x‖‖²: from about 1/n for rows in all directions to 1 for rows in one */
  coherence: number;
}

/** `input` of an episode: the situation, with the settings that the update then used. */
export interface EpisodeInput extends AdaptationSituation {
  reasoningBankHintsUsed: boolean;
}

/** `output` of an episode. */
export interface EpisodeOutput {
  newVersion: number;
  /** Moving average of the loss, this batch included. */
  avgLoss: number;
  /** Loss on this batch before the step. */
  lossBefore: number;
  /** √ mean of ‖y − x‖²/d before the step, y the adapter's output: how far it moves the rows; 0 for a new adapter */
  correctionRms: number;
  /** Loss on the same batch after it. */
  lossAfter: number;
  /** lossBefore − lossAfter */
  lossImprovement: number;
  trainingTimeMs: number;
  totalSamples: number;
}

/** An update that has been done. */
export interface AdaptationEpisode {
  input: EpisodeInput;
  output: EpisodeOutput;
}

/** The documented name of an update, under which its episode is stored and similar ones are looked for. */
export function adaptationTask({ userId, rank, batchSize }: { userId: string; rank: number; batchSize: number }) {
  return `lora_adaptation_user_${userId}_rank_${rank}_samples_${batchSize}`;
}

const METHODS = ['storePattern', 'retrievePatterns', 'learnStrategy', 'autoConsolidate'] as const;

/** `bank` itself; throws ERR_INVALID_ARGUMENT naming the first of the four methods that it lacks. */
export function requireReasoningBank(name: string, bank: unknown): ReasoningBankInstance {
  if (typeof bank !== 'object' || bank === null) {
    fail('ERR_INVALID_ARGUMENT', name, bank, `an object with ${METHODS.join(', ')}`);
  }
  for (const method of METHODS) {
    const value = (bank as Record<string, unknown>)[method];
    if (typeof value !== 'function') fail('ERR_INVALID_ARGUMENT', `${name}.${method}`, value, 'a function');
  }
  return bank as ReasoningBankInstance;
}
