/** Small random models for the suites of the decoder backends. */
import { hashSeed, Random } from '../../../src/adapter/random.js';
import {
  type DecoderBackend,
  type DecoderModel,
  type DecoderOptions,
  type DecoderShape,
  LORA_MODULES,
  type LoraTarget,
  type TokenBatch,
} from '../../../src/llm/decoder/contract.js';
import { weightKey, weightNames, weightSize } from '../../../src/llm/decoder/layout.js';

/** No size is a multiple of a vector's width, and queries outnumber keys. */
export const SHAPE: DecoderShape = {
  vocabSize: 37,
  hiddenSize: 20,
  intermediateSize: 27,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 6,
  biases: [],
  queryKeyNorms: false,
  tied: false,
  rmsNormEps: 1e-5,
  inverseFrequencies: Float64Array.of(1, 0.1, 0.01),
};

export const SHAPES: Record<string, DecoderShape> = {
  'the plain shape': SHAPE,
  'biases everywhere': { ...SHAPE, biases: LORA_MODULES },
  'norms of queries and keys': { ...SHAPE, queryKeyNorms: true },
  'a tied head': { ...SHAPE, tied: true },
  'one key head': { ...SHAPE, keyValueHeads: 1 },
};

export const OPTIONS: DecoderOptions = { weightStorage: 'f32', arithmetic: 'f32', threads: 1 };

export function randomValues(seed: string, count: number, spread: number, center = 0): Float32Array {
  const values = new Float32Array(count);
  new Random(hashSeed(1, seed)).fillUniform(values, center - spread, center + spread);
  return values;
}

export function randomTokens(seed: string, count: number, vocabSize = SHAPE.vocabSize): Uint32Array {
  const random = new Random(hashSeed(2, seed));
  return Uint32Array.from({ length: count }, () => random.nextUint32() % vocabSize);
}

/** Complete, with weights that depend on nothing but their names. */
export function createRandomModel(
  backend: DecoderBackend,
  shape: DecoderShape = SHAPE,
  options: Partial<DecoderOptions> = {},
): DecoderModel {
  const model = backend.createModel(shape, { ...OPTIONS, ...options });
  for (const name of weightNames(shape)) {
    const { rows, columns } = weightSize(shape, name);
    const isNorm = /norm$/.test(weightKey(name));
    const values = randomValues(weightKey(name), rows * columns, isNorm ? 0.3 : 0.5, isNorm ? 1 : 0);
    model.writeWeights(name, 0, 'f32', new Uint8Array(values.buffer));
  }
  return model;
}

/** Every module of every layer, with ranks and scalings that differ. */
export function allTargets(shape: DecoderShape): LoraTarget[] {
  return Array.from({ length: shape.layers }, (_, layer) =>
    LORA_MODULES.map((module, i) => ({ layer, module, rank: 1 + ((layer + i) % 3), scaling: 0.5 + 0.25 * i })),
  ).flat();
}

/** Sequences of these lengths; every token but the first is a target, or those that `isTarget` takes. */
export function batchOf(
  lengths: readonly number[],
  isTarget = (_position: number) => true,
  seed = 'batch',
): TokenBatch {
  const offsets = Uint32Array.from([0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b))]);
  const total = offsets[lengths.length];
  const firsts = new Set(offsets);
  const positions = Array.from({ length: total }, (_, i) => i).filter((i) => !firsts.has(i) && isTarget(i));
  return { tokens: randomTokens(seed, total), offsets, positions: Uint32Array.from(positions) };
}
