/** How an adapter is trained. */
import { fail, rejectUnknownKeys, requireBoolean, requireInteger, requireNumber, requireOneOf } from '../checks.js';
import type { TokenExample } from './objectives.js';
import { SCHEDULES, type Schedule } from './schedule.js';

export interface TrainingProgress {
  /** Optimiser steps done in this training, and planned. */
  step: number;
  steps: number;
  /** From 1. */
  epoch: number;
  /** Of the batch before this step: Σ w·ℓ / Σ w. */
  loss: number;
  /** Of the gradient before clipping. */
  gradNorm: number;
  learningRate: number;
  /** Tokens that went through the decoder in this step. */
  tokens: number;
}

export interface TrainingOptions {
  /** Times that every example is learnt from. Default 1. */
  epochs?: number;
  /** Ends the training after that many steps. Default: what the epochs take. */
  maxSteps?: number;
  /** Examples of one step. Default 8. */
  batchSize?: number;
  /** The highest, η. Default 3e-4. */
  learningRate?: number;
  /** Default 'linear': falls to 0. */
  schedule?: Schedule;
  /** Steps in which the learning rate rises from 0. Default: 3 % of the steps. */
  warmupSteps?: number;
  /** Default 0. */
  weightDecay?: number;
  /** Default 1. */
  maxGradNorm?: number;
  /** Of what enters loraA. Default 0. */
  dropout?: number;
  /** λ of the pull towards the anchor, where the adapter has been consolidated; docs/llm.md has its scale. Default 0. */
  ewcLambda?: number;
  /** β of preferences. Default 0.1. */
  preferenceBeta?: number;
  /** Of the order and of dropout. Default 0. */
  seed?: number;
  /** Examples of what was learnt before, of which `replayShare` as many as there are new ones are mixed into every epoch. */
  replay?: readonly TokenExample[];
  /** Default 0.25. */
  replayShare?: number;
  /** Scored before and after, never learnt from. */
  validation?: readonly TokenExample[];
  /** Tokens that go through the decoder at once; batches of more are split, with the same result up to rounding. Default 1024. */
  maxPassTokens?: number;
  /** Bytes beside the model that the training may take. Default: three quarters of the memory that is free. */
  memoryLimitBytes?: number;
  /** Compute activations again rather than keep them. Default: where the memory limit demands it. */
  recompute?: boolean;
  /** Rejects with ERR_ABORTED, the adapter as it was before. */
  signal?: AbortSignal;
  /** Called after each step; the training waits for what it returns. */
  onProgress?: (progress: TrainingProgress) => unknown;
  /** From which the same training goes on later. */
  checkpoint?: CheckpointFile | CheckpointTarget;
  /** Such a file, or its bytes, of a training with the same examples and options. */
  resume?: string | Uint8Array;
}

/** Written after every `everySteps` steps. */
export interface CheckpointFile {
  path: string;
  everySteps: number;
}

export interface CheckpointTarget {
  /**
   * Whether to save what is there after `step` steps; asked before the first one, after each, and when the signal has ended
   * one in its middle.
   */
  isDue: (step: number) => boolean;
  /** The training waits for it, and rejects with what it rejects with. */
  save: (bytes: Uint8Array, step: number) => Promise<unknown>;
}

/** The options that the result depends on, with their defaults. */
export interface TrainingPlan {
  epochs: number;
  maxSteps: number;
  batchSize: number;
  learningRate: number;
  schedule: Schedule;
  warmupSteps: number | undefined;
  weightDecay: number;
  maxGradNorm: number;
  dropout: number;
  ewcLambda: number;
  preferenceBeta: number;
  seed: number;
  replayShare: number;
}

const PLAN_KEYS = [
  'epochs',
  'maxSteps',
  'batchSize',
  'learningRate',
  'schedule',
  'warmupSteps',
  'weightDecay',
  'maxGradNorm',
  'dropout',
  'ewcLambda',
  'preferenceBeta',
  'seed',
  'replayShare',
] as const satisfies readonly (keyof TrainingPlan)[];
const OTHER_KEYS = [
  'replay',
  'validation',
  'maxPassTokens',
  'memoryLimitBytes',
  'recompute',
  'signal',
  'onProgress',
  'checkpoint',
  'resume',
] as const satisfies readonly (keyof TrainingOptions)[];

/** Throws ERR_INVALID_CONFIG naming the option. */
export function requirePlan(options: TrainingOptions): TrainingPlan {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
  rejectUnknownKeys('options', options, [...PLAN_KEYS, ...OTHER_KEYS]);
  const { warmupSteps, maxSteps = Number.MAX_SAFE_INTEGER } = options;
  const plan: TrainingPlan = {
    epochs: requireInteger('options.epochs', options.epochs ?? 1, 1, 1e6),
    maxSteps: requireInteger('options.maxSteps', maxSteps, 1, Number.MAX_SAFE_INTEGER),
    batchSize: requireInteger('options.batchSize', options.batchSize ?? 8, 1, 65536),
    learningRate: requireNumber('options.learningRate', options.learningRate ?? 3e-4, { above: 0 }),
    schedule: requireOneOf('options.schedule', options.schedule ?? 'linear', SCHEDULES),
    warmupSteps: warmupSteps === undefined ? undefined : requireInteger('options.warmupSteps', warmupSteps, 0, 1e9),
    weightDecay: requireNumber('options.weightDecay', options.weightDecay ?? 0, { min: 0 }),
    maxGradNorm: requireNumber('options.maxGradNorm', options.maxGradNorm ?? 1, { above: 0, infinity: true }),
    dropout: requireNumber('options.dropout', options.dropout ?? 0, { min: 0, max: 0.99 }),
    ewcLambda: requireNumber('options.ewcLambda', options.ewcLambda ?? 0, { min: 0 }),
    preferenceBeta: requireNumber('options.preferenceBeta', options.preferenceBeta ?? 0.1, { above: 0 }),
    seed: requireInteger('options.seed', options.seed ?? 0, 0, 2 ** 32 - 1),
    replayShare: requireNumber('options.replayShare', options.replayShare ?? 0.25, { min: 0, max: 1 }),
  };
  if (options.recompute !== undefined) requireBoolean('options.recompute', options.recompute);
  if (options.maxPassTokens !== undefined) {
    requireInteger('options.maxPassTokens', options.maxPassTokens, 1, 2 ** 24);
  }
  if (options.memoryLimitBytes !== undefined) {
    requireNumber('options.memoryLimitBytes', options.memoryLimitBytes, { above: 0 });
  }
  const { checkpoint } = options;
  if (checkpoint !== undefined && 'isDue' in checkpoint) {
    for (const name of ['isDue', 'save'] as const) {
      if (typeof checkpoint[name] === 'function') continue;
      fail('ERR_INVALID_CONFIG', `options.checkpoint.${name}`, checkpoint[name], 'a function');
    }
  } else if (checkpoint !== undefined) {
    const { path, everySteps } = checkpoint;
    if (typeof path !== 'string') fail('ERR_INVALID_CONFIG', 'options.checkpoint.path', path, 'the path of a file');
    requireInteger('options.checkpoint.everySteps', everySteps, 1, Number.MAX_SAFE_INTEGER);
  }
  return plan;
}

/** Throws ERR_INVALID_ARGUMENT naming the first example that is not one. */
export function requireExamples(name: string, examples: readonly TokenExample[], maxTokens: number): void {
  if (!Array.isArray(examples)) fail('ERR_INVALID_ARGUMENT', name, examples, 'an array of examples');
  examples.forEach((example: TokenExample, i) => {
    const at = `${name}[${i}]`;
    requireNumber(`${at}.weight`, example?.weight, { above: 0 }, 'ERR_INVALID_ARGUMENT');
    const sequences =
      example.kind === 'preference'
        ? { chosen: example.chosen, rejected: example.rejected }
        : { sequence: example.sequence };
    if (!['supervised', 'unlikelihood', 'preference'].includes(example.kind)) {
      fail('ERR_INVALID_ARGUMENT', `${at}.kind`, example.kind, 'supervised, unlikelihood or preference');
    }
    for (const [key, sequence] of Object.entries(sequences)) {
      const { tokens, targets } = sequence ?? {};
      if (!(tokens instanceof Uint32Array))
        fail('ERR_INVALID_ARGUMENT', `${at}.${key}.tokens`, tokens, 'a Uint32Array');
      if (!(targets instanceof Uint32Array) || !areTargets(targets, tokens.length)) {
        const expected = `a Uint32Array of at least one index from 1 to ${tokens.length - 1}, rising`;
        fail('ERR_INVALID_ARGUMENT', `${at}.${key}.targets`, targets, expected);
      }
      if (tokens.length > maxTokens) {
        fail('ERR_CONTEXT_FULL', `${at}.${key}.tokens`, tokens, `at most ${maxTokens} tokens, the model's context`);
      }
    }
  });
}

/** A loop, for there may be millions. */
function areTargets(targets: Uint32Array, tokens: number): boolean {
  let before = 0;
  for (let i = 0; i < targets.length; i++) {
    if (targets[i] <= before || targets[i] >= tokens) return false;
    before = targets[i];
  }
  return targets.length > 0;
}
