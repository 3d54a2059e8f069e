import { readFileSync } from 'node:fs';
import type { LoraModule, LoraModules } from '../../src/adapter/lora-module.js';
import { LorakeetError } from '../../src/errors.js';
import type { MergeResult } from '../../src/merge/index.js';
import { SeededRandom } from '../../src/testing/random.js';

export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8'));
}

export type JsonAdapter = Record<string, Record<string, number | number[]>>;

export function adapterOf(json: JsonAdapter): LoraModules {
  const numbers = (value: number | number[]) => (Array.isArray(value) ? Float32Array.from(value) : value);
  return new Map(
    Object.entries(json).map(([name, module]) => {
      const fields = Object.entries(module).map(([key, value]) => [key, numbers(value)]);
      return [name, Object.fromEntries(fields) as LoraModule];
    }),
  );
}

/** A module of random numbers. */
export function randomModule(
  seed: number,
  outFeatures: number,
  inFeatures: number,
  rank: number,
  scaling = 1,
): LoraModule {
  const random = new SeededRandom(seed);
  const loraA = random.normals(rank * inFeatures);
  const loraB = random.normals(outFeatures * rank);
  return { rank, inFeatures, outFeatures, loraA, loraB, scaling };
}

export function single(module: LoraModule): LoraModules {
  return new Map([['m', module]]);
}

/** scaling · B · A, row by row, in double. */
export function deltaOf({ rank, inFeatures, outFeatures, loraA, loraB, scaling }: LoraModule): number[] {
  return Array.from({ length: outFeatures * inFeatures }, (_, at) => {
    const [o, j] = [Math.floor(at / inFeatures), at % inFeatures];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += loraB[o * rank + k] * loraA[k * inFeatures + j];
    return scaling * sum;
  });
}

export function moduleOf({ modules }: MergeResult, name = 'm'): LoraModule {
  return modules.get(name) as LoraModule;
}

/** ‖actual − expected‖ / ‖expected‖; the norm itself where nothing is expected. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [missed, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    missed += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  if (actual.length !== expected.length) return Infinity;
  return Math.sqrt(norm > 0 ? missed / norm : missed);
}

/** The same ΔW with other factors: (M·A, B·M⁻¹) for a random M = L·D·U that is easy to invert. */
export function refactored(module: LoraModule, seed: number): LoraModule {
  const { rank, inFeatures, outFeatures } = module;
  const random = new SeededRandom(seed);
  const a = Float64Array.from(module.loraA);
  const b = Float64Array.from(module.loraB);
  const addRow = (to: number, from: number, factor: number) => {
    for (let j = 0; j < inFeatures; j++) a[to * inFeatures + j] += factor * a[from * inFeatures + j];
    for (let o = 0; o < outFeatures; o++) b[o * rank + from] -= factor * b[o * rank + to];
  };
  for (let to = 0; to < rank; to++) {
    for (let from = 0; from < rank; from++) if (from !== to) addRow(to, from, random.uniform(-1, 1));
    const scale = random.uniform(0.3, 3) * (random.uniform() < 0.5 ? -1 : 1);
    for (let j = 0; j < inFeatures; j++) a[to * inFeatures + j] *= scale;
    for (let o = 0; o < outFeatures; o++) b[o * rank + to] /= scale;
  }
  const { fisher, anchor, ...rest } = module;
  return { ...rest, loraA: Float32Array.from(a), loraB: Float32Array.from(b) };
}

export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof LorakeetError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}
