/** Where a user's adapter starts when his tastes are known already. */
import { type AdapterShape, scalingOf } from '../adapter/config.js';
import { fail, requireNumber, requireVector } from '../checks.js';
import type { UserPreferences } from './types.js';

/** How much longer a fully trusted preference makes whatever lies along it. */
const STRETCH = 0.1;

/**
 * Turns fresh `weights` [A | B] into the map that stretches the component along the unit vector p of the preferences:
 *
 *   y = x + 0.1 · confidence · (p·x) · p
 *
 * so content that agrees with the preferences agrees more, and content across them stays as it is. A's first row becomes
 * p, as long as the random row it replaces; B's first column is what follows; nothing else changes, and nothing is drawn.
 * Without a vector, or with one of zeros, there is no direction and nothing happens. Throws ERR_INVALID_ARGUMENT,
 * ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, or ERR_OUT_OF_RANGE (confidence outside 0 … 1).
 */
export function startFromPreferences(weights: Float32Array, shape: AdapterShape, preferences: UserPreferences): void {
  const { rank, inFeatures } = shape;
  if (typeof preferences !== 'object' || preferences === null || ArrayBuffer.isView(preferences)) {
    fail('ERR_INVALID_ARGUMENT', 'initialPreferences', preferences, 'UserPreferences');
  }
  const { vector, confidence = 1 } = preferences;
  requireNumber('initialPreferences.confidence', confidence, { min: 0, max: 1 }, 'ERR_OUT_OF_RANGE');
  if (vector === undefined || vector === null) return;
  const length = lengthOf(requireVector('initialPreferences.vector', vector, inFeatures));
  if (length === 0) return;
  const row = weights.subarray(0, inFeatures);
  const rowLength = lengthOf(row);
  const columnLength = (STRETCH * confidence) / (scalingOf(shape) * rowLength);
  for (let i = 0; i < inFeatures; i++) {
    const p = vector[i] / length;
    row[i] = p * rowLength;
    weights[rank * (inFeatures + i)] = p * columnLength;
  }
}

function lengthOf(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}
