/** Which examples are learnt from together, and in which pieces they go through the decoder. */
import { hashSeed, Random } from '../adapter/random.js';
import type { TokenBatch } from './decoder/contract.js';
import type { TokenExample, TokenSequence } from './objectives.js';

/** Batches are formed among this many times their size of examples, so that their lengths are alike. */
const WINDOW = 8;

export function tokensOf(example: TokenExample): number {
  if (example.kind === 'preference') return example.chosen.tokens.length + example.rejected.tokens.length;
  return example.sequence.tokens.length;
}

/**
 * The batches of one epoch, as indices of examples: every example once, in an order that follows from seed and epoch;
 * examples of like length together, so that no batch is much longer than another of the same size.
 */
export function planEpoch(lengths: readonly number[], batchSize: number, seed: number, epoch: number): number[][] {
  const random = new Random(hashSeed(seed, `epoch ${epoch}`));
  const order = shuffled(
    lengths.map((_, i) => i),
    random,
  );
  const batches: number[][] = [];
  const window = WINDOW * batchSize;
  for (let at = 0; at < order.length; at += window) {
    const alike = order.slice(at, at + window).sort((a, b) => lengths[a] - lengths[b] || a - b);
    for (let i = 0; i < alike.length; i += batchSize) batches.push(alike.slice(i, i + batchSize));
  }
  return shuffled(batches, random);
}

export function targetCountOf(example: TokenExample): number {
  if (example.kind === 'preference') return example.chosen.targets.length + example.rejected.targets.length;
  return example.sequence.targets.length;
}

/** Fisher and Yates's shuffle. */
export function shuffled<T>(values: readonly T[], random: Random): T[] {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform(0, i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Consecutive items of at most `maxTokens` tokens together; a longer one is a piece of its own. */
export function splitByTokens<T>(items: readonly T[], tokensOfItem: (item: T) => number, maxTokens: number): T[][] {
  const pieces: T[][] = [];
  let tokens = 0;
  for (const item of items) {
    const own = tokensOfItem(item);
    if (pieces.length === 0 || tokens + own > maxTokens) {
      pieces.push([]);
      tokens = 0;
    }
    pieces[pieces.length - 1].push(item);
    tokens += own;
  }
  return pieces;
}

/** The sequences one after another. */
export function packSequences(sequences: readonly TokenSequence[]): TokenBatch {
  const offsets = new Uint32Array(sequences.length + 1);
  sequences.forEach(({ tokens }, i) => {
    offsets[i + 1] = offsets[i] + tokens.length;
  });
  const tokens = new Uint32Array(offsets[sequences.length]);
  const positions: number[] = [];
  sequences.forEach((sequence, i) => {
    tokens.set(sequence.tokens, offsets[i]);
    for (const target of sequence.targets) positions.push(offsets[i] + target);
  });
  return { tokens, offsets, positions: Uint32Array.from(positions) };
}

/** What belongs to the targets of all sequences, cut into what belongs to each. */
export function splitByTargets(values: Float32Array, sequences: readonly TokenSequence[]): Float32Array[] {
  let at = 0;
  return sequences.map((sequence) => {
    const from = at;
    at += sequence.targets.length;
    return values.subarray(from, at);
  });
}
