/** The weights of an adapter that has not learned anything yet. */
import { slabLayout } from '../kernels/layout.js';
import type { AdapterShape } from './config.js';
import type { Random } from './random.js';

/**
 * The weights section, [A | B]: A uniform in ±√(6/(inFeatures + rank)) (Glorot & Bengio 2010, for A as a layer from
 * inFeatures to rank), B zero. So B·A = 0 and a fresh adapter changes nothing, while A is ready to give B a gradient.
 */
export function initializeWeights(shape: AdapterShape, random: Random): Float32Array {
  const { parameterCount, loraALength } = slabLayout({ ...shape, ewc: false, moments: false });
  const weights = new Float32Array(parameterCount);
  const bound = Math.sqrt(6 / (shape.inFeatures + shape.rank));
  random.fillUniform(weights.subarray(0, loraALength), -bound, bound);
  return weights;
}
