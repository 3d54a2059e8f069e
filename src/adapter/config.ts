/** The shape of one adapter module: what is fixed when it is created and never changes by learning. */
import { describe, rejectUnknownKeys, requireBoolean, requireInteger, requireNumber } from '../checks.js';
import { LorakeetError, type LorakeetErrorCode } from '../errors.js';
import { MAX_FEATURES, MAX_RANK } from '../kernels/contract.js';
import { parametersIn } from '../kernels/layout.js';

/** y = x + s·B·(A·x) with A [rank × inFeatures], B [outFeatures × rank] and s = scalingOf(shape). */
export interface AdapterShape {
  /** 1 … 256 */
  rank: number;
  /** 1 … 8192 */
  inFeatures: number;
  /** 1 … 8192 */
  outFeatures: number;
  /** Finite. */
  alpha: number;
  /** Rank-stabilised scaling, alpha/√rank; default false. */
  rsLora?: boolean;
}

const SIZES = ['rank', 'inFeatures', 'outFeatures'] as const;
const SHAPE_KEYS = ['rank', 'inFeatures', 'outFeatures', 'alpha', 'rsLora'];

/**
 * A checked copy of `value`, with rsLora filled in. Throws ERR_INVALID_CONFIG naming the field for a key that no shape
 * has and for a field that is missing, of the wrong type or outside its range; `code` replaces it for numbers, which is
 * all that a file can get wrong.
 */
export function requireAdapterShape(
  name: string,
  value: unknown,
  code: LorakeetErrorCode = 'ERR_INVALID_CONFIG',
): Required<AdapterShape> {
  if (typeof value !== 'object' || value === null) {
    throw new LorakeetError(code, `${name}: got ${describe(value)}, expected an object { ${SHAPE_KEYS.join(', ')} }`);
  }
  rejectUnknownKeys(name, value, SHAPE_KEYS);
  const shape = value as Partial<AdapterShape>;
  return {
    rank: requireInteger(`${name}.rank`, shape.rank, 1, MAX_RANK, code),
    inFeatures: requireInteger(`${name}.inFeatures`, shape.inFeatures, 1, MAX_FEATURES, code),
    outFeatures: requireInteger(`${name}.outFeatures`, shape.outFeatures, 1, MAX_FEATURES, code),
    alpha: requireNumber(`${name}.alpha`, shape.alpha, {}, code),
    rsLora: requireBoolean(`${name}.rsLora`, shape.rsLora ?? false),
  };
}

/**
 * s: alpha/rank (Hu et al. 2021, "LoRA"), or alpha/√rank, which keeps the size of updates independent of the rank
 * (Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA").
 */
export function scalingOf(shape: AdapterShape): number {
  return shape.alpha / (shape.rsLora ? Math.sqrt(shape.rank) : shape.rank);
}

/** rank · (inFeatures + outFeatures): the numbers in each section of the adapter's state. */
export function parameterCountOf(shape: AdapterShape): number {
  return parametersIn(shape);
}

/**
 * Throws ERR_ADAPTER_MISMATCH unless both shapes have the same rank, features and scaling: only then do the same weights
 * mean the same function.
 */
export function requireSameShape(name: string, shape: AdapterShape, expected: AdapterShape): void {
  for (const key of SIZES) {
    if (shape[key] !== expected[key]) {
      throw new LorakeetError('ERR_ADAPTER_MISMATCH', `${name}.${key}: got ${shape[key]}, expected ${expected[key]}`);
    }
  }
  if (scalingOf(shape) !== scalingOf(expected)) {
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `${name}.alpha: got a scaling of ${scalingOf(shape)}, expected ${scalingOf(expected)}`,
    );
  }
}
