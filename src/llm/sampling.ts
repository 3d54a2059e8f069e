/** The next token from the logits of a model. */
import type { Random } from '../adapter/random.js';
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../checks.js';

export interface SamplingOptions {
  /** 0 takes the likeliest token; otherwise logits are divided by it. Default 0. */
  temperature?: number;
  /** Draw among that many of the likeliest tokens only. Default: all. */
  topK?: number;
  /** Draw among the fewest likeliest tokens whose probabilities sum to at least this (Holtzman et al. 2020). Default 1: all. */
  topP?: number;
  /** Of the draws; an integer below 2³². Default 0. */
  seed?: number;
}

export interface Sampling {
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
}

export const SAMPLING_KEYS = ['temperature', 'topK', 'topP', 'seed'] as const satisfies readonly (keyof Sampling)[];

/** Throws ERR_INVALID_CONFIG naming the option. */
export function requireSampling(options: SamplingOptions = {}): Sampling {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'sampling', options, 'an object');
  rejectUnknownKeys('sampling', options, SAMPLING_KEYS);
  return {
    temperature: requireNumber('temperature', options.temperature ?? 0, { min: 0 }),
    topK: requireInteger('topK', options.topK ?? 2 ** 31, 1, 2 ** 31),
    topP: requireNumber('topP', options.topP ?? 1, { above: 0, max: 1 }),
    seed: requireInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1),
  };
}

export interface SampledToken {
  token: number;
  /** Of the model itself: at temperature 1 and among all tokens. */
  logProbability: number;
}

/** Of tokens that are equally likely the lowest comes first. */
export function sampleToken(logits: Float32Array, sampling: Sampling, random: Random): SampledToken {
  const token = sampling.temperature === 0 ? likeliest(logits) : drawToken(logits, sampling, random);
  return { token, logProbability: logits[token] - logSumExp(logits) };
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

function logSumExp(logits: Float32Array): number {
  const largest = logits[likeliest(logits)];
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum);
}

function drawToken(logits: Float32Array, { temperature, topK, topP }: Sampling, random: Random): number {
  const largest = logits[likeliest(logits)];
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) weights[i] = Math.exp((logits[i] - largest) / temperature);
  const allowed = topK < logits.length || topP < 1 ? nucleus(weights, topK, topP) : undefined;
  const count = allowed?.length ?? weights.length;
  const tokenAt = (i: number) => allowed?.[i] ?? i;
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[tokenAt(i)];
  let left = random.uniform(0, 1) * total;
  for (let i = 0; i < count - 1; i++) {
    left -= weights[tokenAt(i)];
    if (left < 0) return tokenAt(i);
  }
  return tokenAt(count - 1);
}

/** The tokens that topK, and then topP of what that left, leave; the likeliest first. */
function nucleus(weights: Float64Array, topK: number, topP: number): number[] {
  const limited = topK < weights.length;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Nearly all of a vocabulary is as good as impossible: sort what is likely, and more of it only where that is not enough.
  let likely: number[] = [];
  for (const least of [1e-3, 1e-6, 1e-12, 0]) {
    likely = [];
    for (let i = 0; i < weights.length; i++) if (weights[i] >= least) likely.push(i);
    if (limited ? likely.length >= topK : sumOf(weights, likely) >= topP * total) break;
  }
  likely.sort((a, b) => weights[b] - weights[a] || a - b);
  const top = likely.slice(0, topK);
  const enough = topP * (limited ? sumOf(weights, top) : total);
  let sum = 0;
  const last = top.findIndex((token) => {
    sum += weights[token];
    return sum >= enough;
  });
  return last < 0 ? top : top.slice(0, last + 1);
}

function sumOf(weights: Float64Array, tokens: readonly number[]): number {
  return tokens.reduce((sum, token) => sum + weights[token], 0);
}
