/** Options of the engine and the pool: defaults, and checks that name the option. */
import { type AdapterShape, requireAdapterShape } from '../adapter/config.js';
import { fail, rejectUnknownKeys, requireBoolean, requireInteger, requireNumber, requireOneOf } from '../checks.js';
import {
  BACKEND_NAMES,
  type BackendName,
  MAX_CAPACITY,
  MAX_FEATURES,
  MAX_RANK,
  MAX_THREADS,
  type OptimizerConfig,
  type PoolConfig,
  STATE_DTYPES,
  type StateDtype,
} from '../kernels/contract.js';
import { grantedCores } from '../kernels/threads.js';
import { validateOptimizer } from '../kernels/validate.js';
import { consoleLogger, type Logger } from '../logger.js';
import { type ReasoningBankInstance, requireReasoningBank } from '../reasoning/contract.js';
import { type ResolvedTargetPolicy, resolveTargetPolicy } from './target-policy.js';
import type {
  AdapterPoolOptions,
  AdapterSettings,
  ConsolidationOption,
  LearningRateSchedule,
  LoRAConfig,
  OptimizerOption,
  ReasoningSettings,
  UserLoRAAdapter,
} from './types.js';

/** AdapterSettings with every field filled in but `prior`, which may be missing. */
export interface ResolvedConfig {
  rank: number;
  embeddingDim: number;
  scalingFactor: number;
  learningRate: number;
  learningRateSchedule: Required<LearningRateSchedule>;
  useEWC: boolean;
  ewcLambda: number;
  consolidation: Required<ConsolidationOption>;
  replayRows: number;
  stateDtype: StateDtype;
  gradientClipThreshold: number;
  targetPolicy: ResolvedTargetPolicy;
  seed: number;
  optimizer: OptimizerConfig;
  backend: BackendName | 'auto';
  threads: number;
  logger: Logger;
  prior?: UserLoRAAdapter;
}

/** LoRAConfig with every field filled in. */
export interface ResolvedEngineConfig extends ResolvedConfig {
  reasoningBank: ReasoningBankInstance | undefined;
  enableReasoningBankCache: boolean;
  reasoning: Required<ReasoningSettings>;
}

export interface ResolvedPoolOptions {
  config: ResolvedConfig;
  capacity: number;
  items: Float32Array | null;
}

const SHARED_KEYS: readonly (keyof AdapterSettings)[] = [
  'rank',
  'embeddingDim',
  'scalingFactor',
  'learningRate',
  'learningRateSchedule',
  'useEWC',
  'ewcLambda',
  'consolidation',
  'replayRows',
  'stateDtype',
  'gradientClipThreshold',
  'targetPolicy',
  'seed',
  'optimizer',
  'backend',
  'threads',
  'logger',
  'prior',
];
const ENGINE_KEYS: readonly (keyof LoRAConfig)[] = [
  ...SHARED_KEYS,
  'reasoningBank',
  'enableReasoningBankCache',
  'reasoning',
];
const POOL_KEYS: readonly (keyof AdapterPoolOptions)[] = [...SHARED_KEYS, 'capacity', 'items'];

/** PyTorch's betas and epsilon; no weight decay, as in Hugging Face's trainer: holding on to what is known is EWC's job. */
const ADAMW_DEFAULTS = { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const;
const SGD_DEFAULTS = { kind: 'sgd', weightDecay: 0 } as const;

const CONSOLIDATION_DEFAULTS: Required<ConsolidationOption> = {
  when: 'manual',
  everySamples: 256,
  rows: 64,
  decay: 0.95,
};
/** More than a user's adapter could hold apart. */
const MAX_KEPT_ROWS = 65_536;

const DECAYING: Required<LearningRateSchedule> = { initial: 10, final: 1, halvedAfter: 100 };
const CONSTANT: Required<LearningRateSchedule> = { initial: 1, final: 1, halvedAfter: 100 };

const REASONING_DEFAULTS: Required<ReasoningSettings> = {
  timeoutMs: 250,
  minConfidence: 0.5,
  cacheSize: 1000,
  cacheTtlMs: 5 * 60 * 1000,
  maxPendingEpisodes: 1000,
};
/** The longest delay of a timer in Node.js. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** More than memory would hold. */
const MAX_ENTRIES = 2 ** 24;

/** Two slots a user and one for all unknown users (user-table.ts) stay below the contract's limit. */
const MAX_USERS = Math.floor((MAX_CAPACITY - 1) / 2);
const DEFAULT_CAPACITY = 100_000;

/** Throws ERR_INVALID_CONFIG naming the option that is unknown, of the wrong type or out of range. */
export function resolveConfig(config: LoRAConfig = {}): ResolvedEngineConfig {
  const { reasoningBank, enableReasoningBankCache, reasoning, ...shared } = requireOptions(
    'config',
    config,
    ENGINE_KEYS,
  );
  return {
    ...resolveKnown(shared),
    reasoningBank: reasoningBank === undefined ? undefined : requireReasoningBank('reasoningBank', reasoningBank),
    enableReasoningBankCache: requireBoolean('enableReasoningBankCache', orDefault(enableReasoningBankCache, true)),
    reasoning: resolveReasoning(orDefault(reasoning, {})),
  };
}

/** As resolveConfig; the length and the numbers of `items` are checked where the table is bound. */
export function resolvePoolOptions(options: AdapterPoolOptions = {}): ResolvedPoolOptions {
  const { capacity = DEFAULT_CAPACITY, items = null, ...config } = requireOptions('options', options, POOL_KEYS);
  return { config: resolveKnown(config, items), capacity: requireInteger('capacity', capacity, 1, MAX_USERS), items };
}

function resolveKnown(given: AdapterSettings, items: Float32Array | null = null): ResolvedConfig {
  const embeddingDim = requireInteger('embeddingDim', orDefault(given.embeddingDim, 64), 1, MAX_FEATURES);
  const optimizer = resolveOptimizer(orDefault(given.optimizer, 'adamw'));
  const useEWC = requireBoolean('useEWC', orDefault(given.useEWC, true));
  const targetPolicy = resolveTargetPolicy(orDefault(given.targetPolicy, 'reward'), embeddingDim, items);
  // what a contrastive row is compared with are the others of its own batch
  const mostReplayRows = targetPolicy.kind === 'contrastive' ? 0 : MAX_KEPT_ROWS;
  const threads = orDefault(given.threads, Math.min(grantedCores(), MAX_THREADS));
  return {
    rank: requireInteger('rank', orDefault(given.rank, 4), 1, Math.min(MAX_RANK, embeddingDim)),
    embeddingDim,
    scalingFactor: requireNumber('scalingFactor', orDefault(given.scalingFactor, 1), { above: 0 }),
    learningRate: requireNumber('learningRate', orDefault(given.learningRate, 0.001), { above: 0 }),
    learningRateSchedule: resolveSchedule(given.learningRateSchedule, optimizer),
    useEWC,
    ewcLambda: requireNumber('ewcLambda', orDefault(given.ewcLambda, 0.5), { min: 0 }),
    consolidation: resolveConsolidation(orDefault(given.consolidation, {}), useEWC),
    replayRows: requireInteger('replayRows', orDefault(given.replayRows, 0), 0, mostReplayRows),
    stateDtype: requireOneOf('stateDtype', orDefault(given.stateDtype, 'fp32'), STATE_DTYPES),
    gradientClipThreshold: requireNumber('gradientClipThreshold', orDefault(given.gradientClipThreshold, 1), {
      above: 0,
    }),
    targetPolicy,
    seed: requireInteger('seed', orDefault(given.seed, 0), 0, 2 ** 32 - 1),
    optimizer,
    backend: requireOneOf('backend', orDefault(given.backend, 'auto'), ['auto', ...BACKEND_NAMES]),
    threads: requireInteger('threads', threads, 1, MAX_THREADS),
    logger: requireLogger(orDefault(given.logger, consoleLogger)),
    ...(given.prior !== undefined && { prior: given.prior }),
  };
}

/** New objects all the way down, but for what its owner treats as immutable. */
export function copyConfig<T extends ResolvedConfig>(config: T): T {
  const { optimizer, learningRateSchedule, targetPolicy, consolidation } = config;
  return {
    ...config,
    optimizer: { ...optimizer },
    learningRateSchedule: { ...learningRateSchedule },
    targetPolicy: { ...targetPolicy },
    consolidation: { ...consolidation },
  };
}

/** Unlike ??, lets null through to the check that rejects it. */
function orDefault<T>(value: T | undefined, otherwise: T): T {
  return value === undefined ? otherwise : value;
}

export function adapterShapeOf(config: ResolvedConfig): Required<AdapterShape> {
  const { rank, embeddingDim, scalingFactor } = config;
  return requireAdapterShape('config', {
    rank,
    inFeatures: embeddingDim,
    outFeatures: embeddingDim,
    alpha: scalingFactor,
    rsLora: false,
  });
}

/** The kernel pool in which adapters of this configuration learn. */
export function poolConfigOf(config: ResolvedConfig, capacity: number): PoolConfig {
  return {
    rank: config.rank,
    inFeatures: config.embeddingDim,
    outFeatures: config.embeddingDim,
    scaling: config.scalingFactor / config.rank,
    residual: true,
    capacity,
    optimizer: config.optimizer,
    ewc: config.useEWC ? { form: 'proximal', lambda: config.ewcLambda } : null,
    stateDtype: config.stateDtype,
    learningRate: config.learningRate,
    maxGradNorm: config.gradientClipThreshold,
    threads: config.threads,
  };
}

/** Step size of an adapter that has taken `updates` updates; `learningRate` is that of the configuration or of advice. */
export function learningRateAt(config: ResolvedConfig, updates: number, learningRate = config.learningRate): number {
  const { initial, final, halvedAfter } = config.learningRateSchedule;
  return learningRate * (final + (initial - final) / (1 + updates / halvedAfter));
}

function resolveReasoning(option: ReasoningSettings): Required<ReasoningSettings> {
  const given = withDefaults('reasoning', requireObject('reasoning', option), REASONING_DEFAULTS);
  const { timeoutMs, minConfidence, cacheSize, cacheTtlMs, maxPendingEpisodes } = given;
  return {
    timeoutMs: requireNumber('reasoning.timeoutMs', timeoutMs, { above: 0, max: MAX_TIMEOUT_MS }),
    minConfidence: requireNumber('reasoning.minConfidence', minConfidence, { min: 0, max: 1 }),
    cacheSize: requireInteger('reasoning.cacheSize', cacheSize, 1, MAX_ENTRIES),
    cacheTtlMs: requireNumber('reasoning.cacheTtlMs', cacheTtlMs, { above: 0, infinity: true }),
    maxPendingEpisodes: requireInteger('reasoning.maxPendingEpisodes', maxPendingEpisodes, 1, MAX_ENTRIES),
  };
}

function resolveOptimizer(option: OptimizerOption): OptimizerConfig {
  const settings = typeof option === 'string' ? { kind: option } : requireObject('optimizer', option);
  const kind = requireOneOf('optimizer', settings.kind, ['sgd', 'adamw']);
  return validateOptimizer(withDefaults('optimizer', settings, kind === 'sgd' ? SGD_DEFAULTS : ADAMW_DEFAULTS));
}

function resolveConsolidation(option: ConsolidationOption, useEWC: boolean): Required<ConsolidationOption> {
  const name = 'consolidation';
  const { when, everySamples, rows, decay } = withDefaults(name, requireObject(name, option), CONSOLIDATION_DEFAULTS);
  if (!useEWC && when !== 'manual') fail('ERR_INVALID_CONFIG', `${name}.when`, when, "'manual' where useEWC is false");
  return {
    when: requireOneOf(`${name}.when`, when, ['manual', 'samples', 'shift']),
    everySamples: requireInteger(`${name}.everySamples`, everySamples, 1, Number.MAX_SAFE_INTEGER),
    rows: requireInteger(`${name}.rows`, rows, 1, MAX_KEPT_ROWS),
    decay: requireNumber(`${name}.decay`, decay, { min: 0, max: 1 }),
  };
}

function resolveSchedule(option: LoRAConfig['learningRateSchedule'], optimizer: OptimizerConfig) {
  if (option === undefined) return optimizer.kind === 'adamw' ? { ...DECAYING } : { ...CONSTANT };
  if (option === 'constant') return { ...CONSTANT };
  const name = 'learningRateSchedule';
  if (typeof option === 'string') fail('ERR_INVALID_CONFIG', name, option, "'constant' or an object");
  const { initial, final, halvedAfter } = withDefaults(name, requireObject(name, option), DECAYING);
  return {
    initial: requireNumber(`${name}.initial`, initial, { min: 0 }),
    final: requireNumber(`${name}.final`, final, { min: 0 }),
    halvedAfter: requireNumber(`${name}.halvedAfter`, halvedAfter, { above: 0 }),
  };
}

/** `settings` over `defaults`, an undefined field counting as absent; rejects a field that `defaults` does not have. */
function withDefaults<T extends object>(name: string, settings: object, defaults: T): Record<keyof T, unknown> {
  rejectUnknownKeys(name, settings, Object.keys(defaults));
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

function requireLogger(value: Logger): Logger {
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof value?.[level] !== 'function')
      fail('ERR_INVALID_CONFIG', `logger.${level}`, value?.[level], 'a function');
  }
  return value;
}

function requireOptions<T extends object>(name: string, value: T, known: readonly string[]): T {
  requireObject(name, value);
  rejectUnknownKeys(name, value, known);
  return value;
}

function requireObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    fail('ERR_INVALID_CONFIG', name, value, 'an object');
  }
  return value as Record<string, unknown>;
}
