/** Where an adapter is to move the content that a user gave feedback on: the policies, their options and their formulas. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber, requireOneOf, requireVector } from '../checks.js';
import type { AdapterFeedback, TargetPolicy } from './types.js';

/** TargetPolicy with every field filled in and vectors of its own. */
export type ResolvedTargetPolicy =
  | { kind: 'reward' }
  | { kind: 'preference'; vector: Float32Array | undefined; strength: number }
  | { kind: 'direction'; vector: Float32Array; neutral: number }
  | ResolvedContrastivePolicy;

export interface ResolvedContrastivePolicy {
  kind: 'contrastive';
  negatives: 'batch' | 'items';
  /** [items × embeddingDim]; undefined with 'batch' */
  items: Float32Array | undefined;
  count: number;
  temperature: number;
}

const KEYS = {
  reward: ['kind'],
  preference: ['kind', 'vector', 'strength'],
  direction: ['kind', 'vector', 'neutral'],
  contrastive: ['kind', 'negatives', 'items', 'count', 'temperature'],
} as const;

/** More would be no sample of a table any more. */
const MAX_NEGATIVES = 4096;

/** Throws ERR_INVALID_CONFIG, or for a vector ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH or ERR_NOT_FINITE. */
export function resolveTargetPolicy(
  option: TargetPolicy,
  embeddingDim: number,
  poolItems: Float32Array | null = null,
): ResolvedTargetPolicy {
  const policy = option === 'reward' ? ({ kind: 'reward' } as const) : option;
  if (typeof policy !== 'object' || policy === null) fail('ERR_INVALID_CONFIG', 'targetPolicy', policy, 'an object');
  const kind = requireOneOf('targetPolicy.kind', policy.kind, ['reward', 'preference', 'direction', 'contrastive']);
  rejectUnknownKeys('targetPolicy', policy, KEYS[kind]);
  const vectorOf = (vector: unknown) => requireVector('targetPolicy.vector', vector, embeddingDim).slice();
  switch (policy.kind) {
    case 'reward':
      return { kind: 'reward' };
    case 'preference': {
      const { vector, strength = 1 } = policy;
      return {
        kind: 'preference',
        vector: vector && vectorOf(vector),
        strength: requireNumber('targetPolicy.strength', strength, { min: 0 }),
      };
    }
    case 'direction': {
      const { vector, neutral = 0.5 } = policy;
      return {
        kind: 'direction',
        vector: unitVector('targetPolicy.vector', vectorOf(vector)),
        neutral: requireNumber('targetPolicy.neutral', neutral),
      };
    }
    case 'contrastive': {
      const { negatives = 'batch', items, count = 16, temperature = 0.1 } = policy;
      requireOneOf('targetPolicy.negatives', negatives, ['batch', 'items']);
      return {
        kind: 'contrastive',
        negatives,
        items: negatives === 'items' ? requireTable(items ?? poolItems, embeddingDim) : undefined,
        count: requireInteger('targetPolicy.count', count, 1, MAX_NEGATIVES),
        temperature: requireNumber('targetPolicy.temperature', temperature, { above: 0 }),
      };
    }
  }
}

/**
 * The target of a row that brings none, [features] from `offset` on, for content x:
 *
 *   reward       reward·x
 *   preference   x + strength·reward·(p − x), p the row's preferenceVector or else the policy's
 *   direction    x + r·q, q the policy's unit vector, r the row's residual or else reward − neutral
 *   contrastive  x itself, as what the output is to be near to
 *
 * Throws naming the row's field, ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH or ERR_NOT_FINITE.
 */
export function writePolicyTarget(
  policy: ResolvedTargetPolicy,
  row: Pick<AdapterFeedback, 'preferenceVector' | 'residual'> & { name: string },
  content: Float32Array,
  reward: number,
  target: Float32Array,
  offset: number,
): void {
  switch (policy.kind) {
    case 'reward':
      for (let j = 0; j < content.length; j++) target[offset + j] = reward * content[j];
      return;
    case 'preference': {
      const name = `${row.name}.preferenceVector`;
      const preference = row.preferenceVector ?? policy.vector;
      if (preference === undefined) fail('ERR_INVALID_ARGUMENT', name, preference, 'one here or in targetPolicy');
      if (preference !== policy.vector) requireVector(name, preference, content.length);
      const share = policy.strength * reward;
      for (let j = 0; j < content.length; j++) target[offset + j] = content[j] + share * (preference[j] - content[j]);
      return;
    }
    case 'direction': {
      const { residual = reward - policy.neutral } = row;
      if (typeof residual !== 'number') fail('ERR_INVALID_ARGUMENT', `${row.name}.residual`, residual, 'a number');
      if (!Number.isFinite(residual)) fail('ERR_NOT_FINITE', `${row.name}.residual`, residual, 'a finite number');
      for (let j = 0; j < content.length; j++) target[offset + j] = content[j] + residual * policy.vector[j];
      return;
    }
    case 'contrastive':
      target.set(content, offset);
  }
}

function unitVector(name: string, vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (length === 0) fail('ERR_INVALID_CONFIG', name, vector, 'a vector that is not all zero');
  return vector.map((value) => value / length);
}

function requireTable(items: Float32Array | null | undefined, embeddingDim: number): Float32Array {
  const name = 'targetPolicy.items';
  if (!(items instanceof Float32Array) || items.length === 0 || items.length % embeddingDim !== 0) {
    fail('ERR_INVALID_CONFIG', name, items, `a Float32Array [items × ${embeddingDim}], here or as the pool's items`);
  }
  return requireVector(name, items, items.length);
}
