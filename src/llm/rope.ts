/** Rotary position embedding (Su et al. 2021): what a config says about it, and the frequencies that follow. */

import { isJsonObject } from '../adapter/formats/strict-json.js';
import { fail, requireNumber } from '../checks.js';

/** How the frequencies are stretched for contexts longer than those first trained on. */
export type RopeScaling =
  | { kind: 'default' }
  | { kind: 'linear'; factor: number }
  | {
      kind: 'llama3';
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      /** Tokens of the context before it was stretched. */
      originalContextLength: number;
    };

export interface RopeConfig {
  theta: number;
  scaling: RopeScaling;
}

const KEYS = [
  'factor',
  'high_freq_factor',
  'low_freq_factor',
  'original_max_position_embeddings',
  'partial_rotary_factor',
  'rope_theta',
  'rope_type',
  'type',
];

/**
 * From rope_theta and rope_scaling, or from rope_parameters, as transformers 5 writes them. Throws ERR_FORMAT_CORRUPT, and
 * ERR_FORMAT_UNSUPPORTED for every other kind than default, linear and llama3.
 */
export function parseRope(name: string, config: Record<string, unknown>): RopeConfig {
  const { rope_parameters: parameters, rope_scaling: scaling } = config;
  if (isGiven(parameters) && isGiven(scaling)) {
    fail('ERR_FORMAT_CORRUPT', `${name}: rope_scaling`, scaling, 'it left out, as there are rope_parameters');
  }
  const key = isGiven(parameters) ? 'rope_parameters' : 'rope_scaling';
  const settings = config[key] ?? {};
  const place = `${name}: ${key}`;
  if (!isJsonObject(settings)) fail('ERR_FORMAT_CORRUPT', place, settings, 'an object or null');
  const unknown = Object.keys(settings).find((each) => isGiven(settings[each]) && !KEYS.includes(each));
  if (unknown !== undefined) {
    const expected = `no other settings than ${KEYS.join(', ')}`;
    fail('ERR_FORMAT_UNSUPPORTED', `${place}.${unknown.slice(0, 60)}`, settings[unknown], expected);
  }
  for (const [where, value] of [
    [name, config.partial_rotary_factor],
    [place, settings.partial_rotary_factor],
  ]) {
    if (isGiven(value) && value !== 1) {
      fail('ERR_FORMAT_UNSUPPORTED', `${where}: partial_rotary_factor`, value, '1, the rotation of whole heads');
    }
  }
  const theta = settings.rope_theta ?? config.rope_theta ?? 10_000;
  return {
    theta: requireNumber(`${name}: rope_theta`, theta, { above: 0 }, 'ERR_FORMAT_CORRUPT'),
    scaling: parseScaling(place, settings, config.max_position_embeddings),
  };
}

/** Neither left out nor null, which mean the same in these files. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function parseScaling(place: string, settings: Record<string, unknown>, contextLength: unknown): RopeScaling {
  const kind = settings.rope_type ?? settings.type ?? 'default';
  const number = (key: string, value: unknown, above = 0) =>
    requireNumber(`${place}.${key}`, value, { above }, 'ERR_FORMAT_CORRUPT');
  switch (kind) {
    case 'default':
      return { kind: 'default' };
    case 'linear':
      return { kind: 'linear', factor: number('factor', settings.factor) };
    case 'llama3': {
      const low = number('low_freq_factor', settings.low_freq_factor);
      const original = settings.original_max_position_embeddings ?? contextLength;
      return {
        kind: 'llama3',
        factor: number('factor', settings.factor),
        lowFrequencyFactor: low,
        highFrequencyFactor: number('high_freq_factor', settings.high_freq_factor, low),
        originalContextLength: number('original_max_position_embeddings', original),
      };
    }
    default:
      fail('ERR_FORMAT_UNSUPPORTED', `${place}.rope_type`, kind, 'one of default, linear, llama3');
  }
}

/**
 * [headDim / 2] angles per position: theta^(−2i/headDim), stretched as the scaling says. That of llama3 is from the
 * reference code of Llama 3.1 (github.com/meta-llama/llama-models, models/llama3/model.py, apply_scaling): frequencies that
 * turn less than lowFrequencyFactor times in the original context are divided by factor, those that turn more than
 * highFrequencyFactor times stay, those between are interpolated.
 */
export function inverseFrequencies({ theta, scaling }: RopeConfig, headDim: number): Float64Array {
  const frequencies = Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  if (scaling.kind === 'default') return frequencies;
  if (scaling.kind === 'linear') return frequencies.map((frequency) => frequency / scaling.factor);
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling;
  return frequencies.map((frequency) => {
    const turns = (originalContextLength * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((turns - low) / (high - low), 0), 1);
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}
