/** A situation as numbers: a vector to find similar episodes by, and the bucket in which outcomes are compared. */
import type { Situation } from './episode.js';

export const SITUATION_DIMENSIONS = 12;

/** Keeps the logarithm of a vanishing size finite. */
const TINY = 1e-6;

/**
 * Writes the features to `rows` from `offset` on, each divided by the difference that counts as one: a factor of four in a
 * size, of three in a magnitude.
 */
export function writeSituationVector(situation: Situation, rows: Float32Array, offset: number): void {
  const { feedback } = situation;
  const sizes = [situation.embeddingDim, situation.rank, situation.batchSize, situation.previousVersion];
  const magnitudes = [feedback.inputRms, feedback.residualRms, situation.learningRate, situation.clipThreshold];
  let at = offset;
  for (const size of sizes) rows[at++] = Math.log2(size) / 2;
  for (const magnitude of magnitudes) rows[at++] = 2 * Math.log10(magnitude + TINY);
  rows[at++] = feedback.coherence / 0.3;
  rows[at++] = feedback.meanReward / 0.3;
  rows[at++] = feedback.targetShare / 0.5;
  rows[at] = situation.optimizer === 'adamw' ? 2 : 0;
}

/** What decides which settings work; magnitudes are logarithms, so that they can be averaged over a user's batches. */
export interface Conditions {
  optimizer: 'sgd' | 'adamw';
  /** log₂ */
  embeddingDim: number;
  rank: number;
  batchSize: number;
  /** log₁₀ */
  inputRms: number;
  residualRms: number;
  coherence: number;
}

export function conditionsOf({ optimizer, embeddingDim, rank, batchSize, feedback }: Situation): Conditions {
  return {
    optimizer,
    embeddingDim: Math.log2(embeddingDim),
    rank: Math.log2(rank),
    batchSize: Math.log2(batchSize),
    inputRms: Math.log10(feedback.inputRms + TINY),
    residualRms: Math.log10(feedback.residualRms + TINY),
    coherence: feedback.coherence,
  };
}

/** Width of a bucket in each condition: within it, the same settings are taken to work. */
const WIDTHS = { embeddingDim: 1, rank: 1, batchSize: 1, inputRms: 0.25, residualRms: 0.5, coherence: 0.25 } as const;
const MEASURES = Object.keys(WIDTHS) as (keyof typeof WIDTHS)[];

/** Names the bucket: the optimizer, then the index in each condition. */
export function bucketOf(conditions: Conditions): string {
  const indices = MEASURES.map((name) => Math.round(conditions[name] / WIDTHS[name]));
  return `${conditions.optimizer} ${indices.join(' ')}`;
}

/** A bucket's place among others. */
export interface BucketPlace {
  optimizer: string;
  indices: readonly number[];
}

export function placeOf(bucket: string): BucketPlace {
  const [optimizer, ...indices] = bucket.split(' ');
  return { optimizer, indices: indices.map(Number) };
}

const MAGNITUDES = [MEASURES.indexOf('inputRms'), MEASURES.indexOf('residualRms')];
const SIZES = [MEASURES.indexOf('embeddingDim'), MEASURES.indexOf('rank')];

/**
 * Whether users of two buckets may be of one kind: adapters of like size for content and residuals of like magnitude. How
 * many rows come at once, how coherent they are and which optimizer learns them says nothing about who someone is.
 */
export function isSameKind(a: BucketPlace, b: BucketPlace): boolean {
  return (
    SIZES.every((i) => a.indices[i] === b.indices[i]) &&
    MAGNITUDES.every((i) => Math.abs(a.indices[i] - b.indices[i]) <= 1)
  );
}

/** How alike two buckets' situations are, 1 … 0: a Gaussian one bucket wide; 0 for different optimizers. */
export function likeness(a: BucketPlace, b: BucketPlace): number {
  if (a.optimizer !== b.optimizer) return 0;
  let squares = 0;
  for (let i = 0; i < a.indices.length; i++) squares += (a.indices[i] - b.indices[i]) ** 2;
  return Math.exp(-squares / 2);
}
