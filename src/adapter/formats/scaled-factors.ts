/** A and B with the scaling inside, for formats that have no, or not enough, room for it. */
import { firstNonFinite } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { LoraModule } from '../lora-module.js';

/** A filled up with rows of zeros to `rank`. */
export function padA({ loraA, inFeatures, rank: own }: LoraModule, rank: number): Float32Array {
  if (rank === own) return loraA;
  const padded = new Float32Array(rank * inFeatures);
  padded.set(loraA);
  return padded;
}

/** factor · B filled up with columns of zeros to `rank`; ERR_OUT_OF_RANGE where float32 cannot hold that. */
export function scaleAndPadB(
  name: string,
  { loraB, outFeatures, rank: own }: LoraModule,
  factor: number,
  rank: number,
): Float32Array {
  const scaled = new Float32Array(outFeatures * rank);
  for (let o = 0; o < outFeatures; o++) {
    for (let k = 0; k < own; k++) scaled[o * rank + k] = factor * loraB[o * own + k];
  }
  const i = firstNonFinite(scaled);
  if (i >= 0) {
    throw new LorakeetError('ERR_OUT_OF_RANGE', `${factor} · loraB of ${JSON.stringify(name)}: does not fit a float32`);
  }
  return scaled;
}
