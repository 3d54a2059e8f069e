/** Checks of what callers hand to a bank. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../checks.js';
import type { AdaptationSituation, ReasoningBankOptions, ReasoningBankPattern } from './contract.js';
import { isSituation } from './embedded/episode.js';

const DEFAULT_K = 5;
const MAX_K = 10_000;
const RETRIEVAL: readonly (keyof ReasoningBankOptions)[] = [
  'k',
  'minReward',
  'onlySuccesses',
  'onlyFailures',
  'situation',
];

export function requireText(name: string, value: unknown): string {
  if (typeof value !== 'string') fail('ERR_INVALID_ARGUMENT', name, value, 'a string');
  return value;
}

/** A copy with the known fields only. */
export function requirePattern(pattern: ReasoningBankPattern): ReasoningBankPattern {
  if (typeof pattern !== 'object' || pattern === null) {
    fail('ERR_INVALID_ARGUMENT', 'pattern', pattern, 'a ReasoningBankPattern');
  }
  const { sessionId, task, input, output, critique, success, reward, latencyMs } = pattern;
  requireText('pattern.sessionId', sessionId);
  requireText('pattern.task', task);
  if (input !== undefined) requireText('pattern.input', input);
  if (output !== undefined) requireText('pattern.output', output);
  if (critique !== undefined) requireText('pattern.critique', critique);
  if (typeof success !== 'boolean') fail('ERR_INVALID_ARGUMENT', 'pattern.success', success, 'true or false');
  requireReward('pattern.reward', reward);
  if (latencyMs !== undefined) requireNumber('pattern.latencyMs', latencyMs, { min: 0 }, 'ERR_OUT_OF_RANGE');
  return { sessionId, task, input, output, critique, success, reward, latencyMs };
}

export function requireRetrieval(options: ReasoningBankOptions): ReasoningBankOptions & { k: number } {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_ARGUMENT', 'options', options, 'an object');
  rejectUnknownKeys('options', options, RETRIEVAL);
  const { k = DEFAULT_K, minReward, situation, ...filters } = options;
  requireInteger('options.k', k, 1, MAX_K, 'ERR_OUT_OF_RANGE');
  if (minReward !== undefined) requireNumber('options.minReward', minReward, {}, 'ERR_OUT_OF_RANGE');
  for (const [name, value] of Object.entries(filters)) {
    if (value !== undefined && typeof value !== 'boolean') {
      fail('ERR_INVALID_ARGUMENT', `options.${name}`, value, 'true or false');
    }
  }
  return { k, minReward, situation: requireQuery(situation), ...filters };
}

export function requireQuery(situation: AdaptationSituation | undefined): AdaptationSituation | undefined {
  return situation === undefined ? undefined : requireSituation(situation);
}

export function requireSituation(situation: AdaptationSituation): AdaptationSituation {
  if (typeof situation !== 'object' || situation === null || !isSituation(situation)) {
    fail('ERR_INVALID_ARGUMENT', 'situation', situation, 'an AdaptationSituation of finite numbers');
  }
  return situation;
}

export function requireConsolidation(minUses: number, minSuccessRate: number, lookbackDays: number): void {
  requireInteger('minUses', minUses, 1, Number.MAX_SAFE_INTEGER, 'ERR_OUT_OF_RANGE');
  requireNumber('minSuccessRate', minSuccessRate, { min: 0, max: 1 }, 'ERR_OUT_OF_RANGE');
  requireNumber('lookbackDays', lookbackDays, { above: 0, infinity: true }, 'ERR_OUT_OF_RANGE');
}

function requireReward(name: string, value: number): void {
  if (typeof value !== 'number') fail('ERR_INVALID_ARGUMENT', name, value, 'a number from 0 to 1');
  if (!Number.isFinite(value)) fail('ERR_NOT_FINITE', name, value, 'a number from 0 to 1');
  if (value < 0 || value > 1) fail('ERR_OUT_OF_RANGE', name, value, 'a number from 0 to 1');
}
