/**
 * The public data types of the personalization engine. Names are those of the documents that users already code against
 * (matrixA, gradientClipThreshold, …); this folder maps them to the field's terms (loraA, maxGradNorm, …) in one place.
 */
import type { BackendName, StateDtype } from '../kernels/contract.js';
import type { Logger } from '../logger.js';
import type { ReasoningBankInstance } from '../reasoning/contract.js';

export interface AdapterMetadata {
  /** Feedback rows learned so far. */
  totalSamples: number;
  /** Bias-corrected moving average of the batch loss (decay 0.9); 0 before the first update. */
  avgLoss: number;
  /** Learning rate of the last update; the engine's before the first. */
  learningRate: number;
  /** Time of the last update; of creation before the first. */
  lastTrainedAt: Date;
  /** Loss on the last batch before and after its step; absent before the first update. */
  lastBatch?: { lossBefore: number; lossAfter: number };
  performance: {
    /** Moving average of the engine's forward time per vector, in ms; kept by the engine, 0 until measured. */
    avgInferenceMs: number;
    /** Exact length of the serialized adapter in bytes. */
    sizeBytes: number;
  };
}

/** One user's adapter: y = x + (scalingFactor/rank)·B·(A·x). Treat as immutable: updates return a new object. */
export interface UserLoRAAdapter {
  userId: string;
  rank: number;
  /** A, row-major [rank × embeddingDim] */
  matrixA: Float32Array;
  /** B, row-major [embeddingDim × rank] */
  matrixB: Float32Array;
  /** alpha: the effective multiplier is scalingFactor / rank */
  scalingFactor: number;
  embeddingDim: number;
  /** Starts at 1, +1 per update. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
  /** Fisher importance, A's entries then B's; undefined when EWC is off. Zero until the first consolidation. */
  fisherInformation?: Float32Array;
  /** θ*: the weights that EWC holds on to, A's entries then B's; there whenever fisherInformation is. */
  anchorWeights?: Float32Array;
  /** State of the optimizer, so that learning goes on after a reload as if there had been none. */
  optimizerState: { step: number; moment1?: Float32Array; moment2?: Float32Array };
  metadata: AdapterMetadata;
}

/** What a user did with a piece of content. Times in seconds, rates in 0–1. */
export interface WatchEvent {
  userId: string;
  contentId: number;
  mediaType: string;
  platformId: string;
  duration: number;
  totalDuration: number;
  completionRate: number;
  rating?: number;
  isRewatch: boolean;
  context: { dayOfWeek: number; hourOfDay: number; device?: string; isGroupWatch: boolean; groupId?: string };
  timestamp: Date;
}

/**
 * What an application already knows about a user's tastes. `vector` and `confidence` are used; the other documented fields
 * may be there.
 */
export interface UserPreferences {
  /** [embeddingDim], of any length but zero; null: not known */
  vector?: Float32Array | null;
  /** How far to trust it, 0 … 1; default 1 */
  confidence?: number;
  genreAffinities?: unknown;
  moodMappings?: unknown;
  temporalPatterns?: unknown;
  updatedAt?: Date;
}

/** How a new user's adapter starts. */
export interface WarmStartOptions {
  /**
   * 'prior' (default): from the option `prior`, or fresh; 'similar': from the users whose adapters explain his feedback
   * best, and from the start that he would have otherwise, each the more the better it does
   */
  warmStart?: 'prior' | 'similar';
  /** What the user did so far, for 'similar'; without it nobody is more similar than others, and all count the same. */
  feedback?: readonly AdapterFeedback[];
  /**
   * Whose adapters to look at; default: those of the users whom the connected ReasoningBank names (up to 256, whose updates
   * went well in such situations), or else of the last 256 users that this engine updated (64 MiB of them at most)
   */
  among?: readonly UserLoRAAdapter[];
  /** Where to find the adapters of the users whom the bank names; default: among those 256 */
  adapterOf?: (userId: string) => UserLoRAAdapter | undefined;
}

/** As WarmStartOptions, for a user of a pool. */
export interface PoolWarmStartOptions {
  warmStart?: 'prior' | 'similar';
  /** Rows of this user: a userId need not be given. */
  feedback?: readonly PoolFeedback[];
  /** Whose adapters to look at; default: 256 users of the pool at most, from the first to the last who came */
  among?: readonly string[];
}

/** Somebody whose adapter explains feedback of another. */
export interface SimilarUser {
  adapter: UserLoRAAdapter;
  /** Mean loss of the adapter on the feedback. */
  loss: number;
  /** His part in a warm start, 0 … 1; those of all add up to 1. */
  weight: number;
}

export interface AdapterFeedback {
  /** [embeddingDim] */
  contentEmbedding: Float32Array;
  /** [embeddingDim]; without it targetPolicy says what the target is, by default reward · contentEmbedding */
  targetEmbedding?: Float32Array;
  /** 0 … 1 */
  reward: number;
  /** [embeddingDim]; what this user prefers, for targetPolicy 'preference' */
  preferenceVector?: Float32Array;
  /** How far along the direction, for targetPolicy 'direction'; default reward − neutral */
  residual?: number;
  watchEvent?: WatchEvent;
  timestamp: Date;
}

/**
 * Where an adapter is to move content on which there is feedback without a target of its own; reward is 0 … 1.
 *
 * - 'reward': to reward·x. It teaches how much of x to keep, and no direction.
 * - 'preference': from x towards a vector of preferences p: to x + strength·reward·(p − x). p is the row's
 *   preferenceVector, or else `vector`.
 * - 'direction': along the unit vector of `vector` by a signed amount, as a regression on it: the row's `residual`, or else
 *   reward − neutral.
 * - 'contrastive': nearer, by cosine, to the row's target (or else to x) than to other content: the targets of the user's
 *   other rows in the batch, or `count` items sampled anew for every row. Rows count as much as their reward says. Here a
 *   targetEmbedding is what to be near to, not a target of the squared error.
 */
export type TargetPolicy =
  | 'reward'
  | { kind: 'reward' }
  | {
      kind: 'preference';
      /** [embeddingDim] */
      vector?: Float32Array;
      /** ≥ 0; default 1: content of reward 1 goes all the way */
      strength?: number;
    }
  | {
      kind: 'direction';
      /** [embeddingDim], of any length but zero */
      vector: Float32Array;
      /** The reward that moves nothing; default 0.5 */
      neutral?: number;
    }
  | {
      kind: 'contrastive';
      /** default 'batch' */
      negatives?: 'batch' | 'items';
      /** [items × embeddingDim] for 'items'; default the pool's item table; must stay unchanged */
      items?: Float32Array;
      /** Items per row, 1 … 4096; default 16 */
      count?: number;
      /** τ > 0: the lower, the more the nearest negatives count; default 0.1 */
      temperature?: number;
    };

/** 'sgd' or 'adamw' with the field's usual settings as defaults, or one with settings. */
export type OptimizerOption =
  | 'sgd'
  | 'adamw'
  | { kind: 'sgd'; weightDecay?: number }
  | { kind: 'adamw'; beta1?: number; beta2?: number; epsilon?: number; weightDecay?: number };

/**
 * The step size of an adapter that has taken t updates:
 *
 *   learningRate · (final + (initial − final) / (1 + t / halvedAfter))
 *
 * A young adapter knows nothing and takes large steps; they shrink as feedback accumulates. docs/math.md says why.
 */
export interface LearningRateSchedule {
  /** Factor of the first update, ≥ 0; default 10 */
  initial?: number;
  /** Factor that it falls towards, ≥ 0; default 1. With 0 the steps shrink for ever, as 1/t. */
  final?: number;
  /** Updates after which half of the way from initial to final is done, > 0; default 100 */
  halvedAfter?: number;
}

/** Which backend does the work, and why it and no faster one. */
export interface BackendInfo {
  name: BackendName;
  /** 'js', an instruction set, or a GPU's name */
  device: string;
  reason: string;
}

/** When an adapter is consolidated without being asked to: Fisher and anchor renewed, as consolidateAdapter does. */
export interface ConsolidationOption {
  /**
   * 'manual' (default): never; 'samples': after every `everySamples` feedback rows; 'shift': when the losses show that a
   * user's feedback has changed, so that what was learned before is kept
   */
  when?: 'manual' | 'samples' | 'shift';
  /** ≥ 1; default 256 */
  everySamples?: number;
  /** Rows that the Fisher is taken of, a sample of those since the last consolidation, 1 … 65 536; default 64 */
  rows?: number;
  /** γ, 0 … 1: how much of the old Fisher stays, F ← γ·F + F_new; also for consolidateAdapter; default 0.95 */
  decay?: number;
}

/** What the engine and the pool have in common. */
export interface AdapterSettings {
  /** 1 … 256, at most embeddingDim; default 4 */
  rank?: number;
  /** 1 … 8192; default 64 */
  embeddingDim?: number;
  /** alpha; the multiplier is scalingFactor / rank; default 1 */
  scalingFactor?: number;
  /** > 0; default 0.001 */
  learningRate?: number;
  /** 'constant': every update uses learningRate itself; default { initial: 10 } with AdamW, 'constant' with SGD */
  learningRateSchedule?: 'constant' | LearningRateSchedule;
  /** default true */
  useEWC?: boolean;
  /** λ ≥ 0; default 0.5 */
  ewcLambda?: number;
  /**
   * How the pool keeps Fisher and anchor: 'bf16' in half the memory, rounded to 8 significant bits (files keep single
   * precision); default 'fp32'
   */
  stateDtype?: StateDtype;
  /** default { when: 'manual' } */
  consolidation?: ConsolidationOption;
  /**
   * Rows kept of each user, a uniform sample of all that he gave, to be learned again with each update, 0 … 65 536;
   * default 0, and 0 with the target policy 'contrastive'. They are kept in memory only, for as long as the pool or the
   * engine (of the last 10,000 users) lives.
   */
  replayRows?: number;
  /** Bound of the gradient's global norm, > 0; default 1 */
  gradientClipThreshold?: number;
  /** The target of feedback that brings none; default 'reward' */
  targetPolicy?: TargetPolicy;
  /** Makes initialisation reproducible; an integer from 0 to 2³²−1; default 0 */
  seed?: number;
  /** default 'adamw' */
  optimizer?: OptimizerOption;
  /** default 'auto': the fastest that works here */
  backend?: BackendName | 'auto';
  /** Threads per kernel call; default: the cores granted to this process, by affinity and by its cgroup's quota */
  threads?: number;
  /** default: one-line messages on the console */
  logger?: Logger;
  /** What new users' adapters start from, from fitPopulationPrior with the same options; default: fresh ones */
  prior?: UserLoRAAdapter;
}

/** How the engine uses its ReasoningBank. */
export interface ReasoningSettings {
  /** Longest time in ms that an update waits for the bank's advice, > 0; default 250 */
  timeoutMs?: number;
  /** Advice below this confidence is not followed, 0 … 1; default 0.5 */
  minConfidence?: number;
  /** Most answers in the cache, ≥ 1; the one that was used least recently goes first; default 1000 */
  cacheSize?: number;
  /** Age in ms at which an answer is asked for anew, > 0; default 300 000, five minutes */
  cacheTtlMs?: number;
  /** Most episodes waiting to be stored, ≥ 1; the oldest goes first; default 1000 */
  maxPendingEpisodes?: number;
}

export interface LoRAConfig extends AdapterSettings {
  /** Advises updates and learns from them; can be exchanged later; default none */
  reasoningBank?: ReasoningBankInstance;
  /** Whether answers of the bank are used again for similar updates; default true */
  enableReasoningBankCache?: boolean;
  reasoning?: ReasoningSettings;
}

export interface AdapterPoolOptions extends AdapterSettings {
  /** Most users held at once; memory is taken as users come; default 100 000 */
  capacity?: number;
  /** Item table [items × embeddingDim]: feedback and personalize can then name content by its row number. */
  items?: Float32Array;
}

/** One user's feedback in the pool: like AdapterFeedback, with content by vector or by item number. */
export interface PoolFeedback {
  /** Whose it is; may be left out when watchEvent says so, as createAdapterFeedback's results do. */
  userId?: string;
  /** Only its userId is read. */
  watchEvent?: WatchEvent;
  /** Row in the item table; or give contentEmbedding. */
  item?: number;
  contentEmbedding?: Float32Array;
  /** [embeddingDim]; without it targetPolicy says what the target is, by default reward · content */
  targetEmbedding?: Float32Array;
  /** 0 … 1; required when there is no targetEmbedding and no residual */
  reward?: number;
  /** As in AdapterFeedback. */
  preferenceVector?: Float32Array;
  /** As in AdapterFeedback. */
  residual?: number;
  /** Weight of the row in its user's loss, ≥ 0; default 1 */
  weight?: number;
}

/** The same as columns, the fast form for services: row i belongs to userIds[i]. */
export interface FeedbackBatch {
  userIds: readonly string[];
  /** [n × embeddingDim], or item numbers [n] */
  content: Float32Array | Uint32Array;
  /** [n × embeddingDim], or item numbers [n] */
  target: Float32Array | Uint32Array;
  /** [n] ≥ 0; default 1 */
  weight?: Float32Array;
  /** [n] 0 … 1; only for targetPolicy 'contrastive', where a row counts as much; default 1 */
  reward?: Float32Array;
}

export interface SnapshotOptions {
  /** Only the adapters that changed after the pool had this `revision`; default −1, all. */
  changedSince?: number;
}

/** What one saveTo() did. */
export interface SavedUsers {
  /** Adapters that were saved. */
  users: number;
  /** Of the pool when saving began: what has changed since may be missing, and is what the next saveTo should save. */
  revision: number;
}

/** What one learn() did: one optimizer step for every user in the batch. */
export interface LearnReport {
  /** Users that took a step. */
  updates: number;
  /** Feedback rows in the batch. */
  rows: number;
  /** Users whose adapter was created by this batch. */
  created: number;
  /** Users whose gradient was clipped. */
  clipped: number;
  /** Users left unchanged because their loss or gradient was not finite. */
  rejected: string[];
  /** Mean over the users that took a step of their loss before it. */
  meanLoss: number;
}
