/** Examples through the decoder: their losses, and the gradient of Σ share · ℓ. */
import { packSequences, splitByTargets, splitByTokens } from './batches.js';
import type { DecoderModel, DecoderPass } from './decoder/contract.js';
import type { LanguageAdapter } from './language-adapter.js';
import {
  evaluate,
  knownCoefficients,
  type ObjectiveOptions,
  sequencesOf,
  sum,
  type TokenExample,
  type TokenSequence,
} from './objectives.js';

export interface GradientOptions extends ObjectiveOptions {
  maxPassTokens: number;
  recompute: boolean;
  dropout: number;
  signal?: AbortSignal;
}

/** An example with its part in the loss. */
export interface SharedExample {
  example: TokenExample;
  /** w / Σ w. */
  share: number;
  /** Of a preference: the sums of its sequences' log-probabilities before the training began. */
  reference?: readonly number[];
}

/** Log-probabilities of the targets of each sequence. */
export async function scoreSequences(
  pass: DecoderPass,
  adapter: LanguageAdapter | undefined,
  sequences: readonly TokenSequence[],
  maxPassTokens: number,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const logs: Float32Array[] = [];
  const pieces = splitByTokens(sequences, ({ tokens }) => tokens.length, maxPassTokens);
  for (const piece of pieces) {
    signal?.throwIfAborted();
    const { logProbabilities } = await pass.forward(adapter?.decoder, packSequences(piece));
    logs.push(...splitByTargets(logProbabilities, piece));
  }
  return logs;
}

export class Gradients {
  readonly #pass: DecoderPass;
  readonly #adapter: LanguageAdapter;
  readonly #options: GradientOptions;

  constructor(model: DecoderModel, adapter: LanguageAdapter, options: GradientOptions) {
    this.#pass = model.createPass();
    this.#adapter = adapter;
    this.#options = options;
  }

  /** Adds the gradient of Σ share · ℓ to the adapter's; gives that sum. */
  async add(examples: readonly SharedExample[], dropoutSeed: number): Promise<number> {
    let loss = 0;
    const tokens = ({ example }: SharedExample) => sequencesOf(example).reduce((n, each) => n + each.tokens.length, 0);
    for (const [i, piece] of splitByTokens(examples, tokens, this.#options.maxPassTokens).entries()) {
      this.#options.signal?.throwIfAborted();
      loss += await this.#addPiece(piece, dropoutSeed + i);
    }
    return loss;
  }

  /** The sums of log-probabilities that `reference` of a preference stands for; undefined for other kinds. */
  async reference(example: TokenExample): Promise<number[] | undefined> {
    if (example.kind !== 'preference') return undefined;
    const { maxPassTokens, signal } = this.#options;
    const logs = await scoreSequences(this.#pass, this.#adapter, sequencesOf(example), maxPassTokens, signal);
    return logs.map(sum);
  }

  /** Σ w·ℓ / Σ w; nothing is learnt. */
  async loss(examples: readonly SharedExample[]): Promise<number> {
    const { maxPassTokens, signal } = this.#options;
    const sequences = examples.flatMap(({ example }) => sequencesOf(example));
    const logs = await scoreSequences(this.#pass, this.#adapter, sequences, maxPassTokens, signal);
    return this.#evaluate(examples, logs).loss;
  }

  close(): void {
    this.#pass.close();
  }

  async #addPiece(piece: readonly SharedExample[], dropoutSeed: number): Promise<number> {
    const { recompute, dropout } = this.#options;
    const sequences = piece.flatMap(({ example }) => sequencesOf(example));
    const known = piece.map(({ example, share }) => knownCoefficients(example, share));
    const coefficients = known.every((values) => values !== undefined) ? concatenated(known) : undefined;
    const { logProbabilities } = await this.#pass.forward(this.#adapter.decoder, packSequences(sequences), {
      keep: true,
      recompute,
      dropout,
      dropoutSeed,
      coefficients,
    });
    const evaluated = this.#evaluate(piece, splitByTargets(logProbabilities, sequences));
    await this.#pass.backward(this.#adapter.decoder, coefficients ? undefined : concatenated(evaluated.coefficients));
    return evaluated.loss;
  }

  #evaluate(examples: readonly SharedExample[], logs: readonly Float32Array[]) {
    let at = 0;
    let loss = 0;
    const coefficients: Float32Array[] = [];
    for (const { example, share, reference } of examples) {
      const own = logs.slice(at, at + sequencesOf(example).length);
      at += own.length;
      const result = evaluate(example, share, own, reference, this.#options);
      loss += share * result.loss;
      coefficients.push(...result.coefficients);
    }
    return { loss, coefficients };
  }
}

/** With w / Σ w as share. */
export function shared(
  examples: readonly TokenExample[],
  references: ReadonlyMap<TokenExample, readonly number[]>,
): SharedExample[] {
  const total = examples.reduce((weights, { weight }) => weights + weight, 0);
  return examples.map((example) => ({ example, share: example.weight / total, reference: references.get(example) }));
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const values = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return values;
}
