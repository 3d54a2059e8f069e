/**
 * The documented adapter object (UserLoRAAdapter) ↔ the state that kernels and files hold (AdapterState). The only place
 * where the documents' names and the field's names meet.
 */
import { encodedSize } from '../adapter/codec.js';
import { type AdapterShape, parameterCountOf, requireSameShape } from '../adapter/config.js';
import { initializeWeights } from '../adapter/initialization.js';
import { hashSeed, Random } from '../adapter/random.js';
import { type AdapterState, requireAdapterState } from '../adapter/state.js';
import { fail, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { requireUserId } from './feedback.js';
import { startFromPreferences } from './preference-start.js';
import type { UserLoRAAdapter, UserPreferences } from './types.js';
import { readUserMeta, requireUserMeta, toJson, type UserMeta } from './user-meta.js';

/** The state of a user's adapter; its meta is a UserMeta in JSON. */
export function stateOfUser(
  shape: AdapterShape,
  meta: UserMeta,
  sections: Omit<AdapterState, 'shape' | 'meta'>,
): AdapterState {
  return { shape, meta: toJson(meta), ...sections };
}

/**
 * A fresh adapter: the identity map but for what `preferences` add, with A drawn from (seed, userId), so that it does not
 * depend on who came before.
 */
export function initialState(
  shape: AdapterShape,
  meta: UserMeta,
  seed: number,
  has: { ewc: boolean; moments: boolean },
  preferences: UserPreferences = {},
): AdapterState {
  const weights = initializeWeights(shape, new Random(hashSeed(seed, meta.userId)));
  startFromPreferences(weights, shape, preferences);
  const zeros = () => new Float32Array(weights.length);
  return stateOfUser(shape, meta, {
    weights,
    step: 0,
    ...(has.ewc && { fisher: zeros(), anchor: weights.slice() }),
    ...(has.moments && { moment1: zeros(), moment2: zeros() }),
  });
}

/**
 * The object of a state, which it takes over: the state must not be used further. Throws ERR_ADAPTER_CORRUPT or
 * ERR_ADAPTER_MISMATCH if it is not a user's.
 */
export function recordOf(state: AdapterState): UserLoRAAdapter {
  const { shape, weights } = state;
  if (shape.inFeatures !== shape.outFeatures || shape.rsLora) {
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `adapter.shape: got ${shape.inFeatures} → ${shape.outFeatures} features${shape.rsLora ? ', rsLoRA' : ''}, ` +
        'expected a square adapter scaled by alpha/rank',
    );
  }
  const meta = readUserMeta(state.meta);
  const split = shape.rank * shape.inFeatures;
  return {
    userId: meta.userId,
    rank: shape.rank,
    matrixA: weights.slice(0, split),
    matrixB: weights.slice(split),
    scalingFactor: shape.alpha,
    embeddingDim: shape.inFeatures,
    version: meta.version,
    createdAt: new Date(meta.createdAt),
    updatedAt: new Date(meta.updatedAt),
    ...(state.fisher && { fisherInformation: state.fisher, anchorWeights: state.anchor }),
    optimizerState: {
      step: state.step,
      ...(state.moment1 && { moment1: state.moment1, moment2: state.moment2 }),
    },
    metadata: {
      totalSamples: meta.totalSamples,
      avgLoss: meta.avgLoss,
      learningRate: meta.learningRate,
      lastTrainedAt: new Date(meta.lastTrainedAt),
      ...(meta.lastBatch && { lastBatch: { ...meta.lastBatch } }),
      performance: { avgInferenceMs: meta.avgInferenceMs, sizeBytes: encodedSize(state) },
    },
  };
}

/** The state of an object that a caller handed in, after checking every field. Fisher, anchor and moments are not copied. */
export function stateOf(adapter: UserLoRAAdapter): AdapterState {
  const { shape, split, parameterCount } = requireRecord(adapter);
  const weights = new Float32Array(parameterCount);
  weights.set(requireVector('adapter.matrixA', adapter.matrixA, split));
  weights.set(requireVector('adapter.matrixB', adapter.matrixB, parameterCount - split), split);
  const { step, moment1, moment2 } = requireObject('adapter.optimizerState', adapter.optimizerState);
  const state = stateOfUser(shape, metaOf(adapter), {
    weights,
    step,
    fisher: adapter.fisherInformation,
    anchor: adapter.anchorWeights,
    moment1,
    moment2,
  });
  requireAdapterState('adapter', state);
  return state;
}

/** Copies A and B into `weights` for applying the adapter: shape and lengths checked, numbers left to the kernels. */
export function writeWeights(adapter: UserLoRAAdapter, expected: AdapterShape, weights: Float32Array): void {
  const { shape, split, parameterCount } = requireRecord(adapter);
  requireSameShape('adapter', shape, expected);
  weights.set(requireFloats('adapter.matrixA', adapter.matrixA, split));
  weights.set(requireFloats('adapter.matrixB', adapter.matrixB, parameterCount - split), split);
}

function requireRecord(adapter: UserLoRAAdapter) {
  const { rank, embeddingDim, scalingFactor } = requireObject('adapter', adapter);
  const shape = { rank, inFeatures: embeddingDim, outFeatures: embeddingDim, alpha: scalingFactor };
  return { shape, split: rank * embeddingDim, parameterCount: parameterCountOf(shape) };
}

function metaOf(adapter: UserLoRAAdapter): UserMeta {
  const { metadata } = adapter;
  requireObject('adapter.metadata', metadata);
  requireObject('adapter.metadata.performance', metadata.performance);
  return requireUserMeta(
    'adapter',
    {
      userId: requireUserId('adapter.userId', adapter.userId),
      version: adapter.version,
      createdAt: millisecondsOf('adapter.createdAt', adapter.createdAt),
      updatedAt: millisecondsOf('adapter.updatedAt', adapter.updatedAt),
      lastTrainedAt: millisecondsOf('adapter.metadata.lastTrainedAt', metadata.lastTrainedAt),
      totalSamples: metadata.totalSamples,
      avgLoss: metadata.avgLoss,
      learningRate: metadata.learningRate,
      lastBatch: metadata.lastBatch && { ...metadata.lastBatch },
      avgInferenceMs: metadata.performance.avgInferenceMs,
    },
    'ERR_INVALID_ARGUMENT',
  );
}

function millisecondsOf(name: string, value: unknown): number {
  if (!(value instanceof Date) || Number.isNaN(value.getTime()))
    fail('ERR_INVALID_ARGUMENT', name, value, 'a valid Date');
  return value.getTime();
}

function requireFloats(name: string, value: unknown, length: number): Float32Array {
  if (!(value instanceof Float32Array)) fail('ERR_INVALID_ARGUMENT', name, value, `a Float32Array of length ${length}`);
  if (value.length !== length) fail('ERR_LENGTH_MISMATCH', name, value, `${length} elements`);
  return value;
}

function requireObject<T>(name: string, value: T): T {
  if (typeof value !== 'object' || value === null) fail('ERR_INVALID_ARGUMENT', name, value, 'an object');
  return value;
}
