/**
 * What examples want of a model, as coefficients of log-probabilities: the decoder takes L = −Σ cᵢ log pᵢ, so an objective
 * is known by cᵢ = −∂L/∂log pᵢ.
 *
 * Of a batch with weights w the loss is Σ w·ℓ / Σ w, with the ℓ of each example by its kind:
 * - supervised: the mean of −log p over its targets
 * - unlikelihood (Welleck et al. 2020): the mean of −log(1 − p) over its targets
 * - preference (DPO, Rafailov et al. 2023): −log σ(m), m = β·((S₊ − R₊) − (S₋ − R₋)), where S is the sum of the targets'
 *   log-probabilities of the chosen and the rejected text, and R that sum before the training began
 */

/** Tokens, some of which are to be predicted from all before them. */
export interface TokenSequence {
  tokens: Uint32Array;
  /** Indices in `tokens`, rising, at least one, the first at least 1. */
  targets: Uint32Array;
}

export type TokenExample =
  | { kind: 'supervised' | 'unlikelihood'; sequence: TokenSequence; weight: number }
  | { kind: 'preference'; chosen: TokenSequence; rejected: TokenSequence; weight: number };

export interface ObjectiveOptions {
  /** β of preferences. */
  preferenceBeta: number;
}

export interface ExampleResult {
  /** ℓ, not weighted. */
  loss: number;
  /** Of each of its sequences, [targets]. */
  coefficients: Float32Array[];
}

/** 1 − p is at least this: a sure token would have an infinite gradient. */
const LEAST_DOUBT = 1e-6;

export function sequencesOf(example: TokenExample): TokenSequence[] {
  return example.kind === 'preference' ? [example.chosen, example.rejected] : [example.sequence];
}

/** The sequence whose targets are all tokens from `first` on. */
export function targetsFrom(tokens: Uint32Array, first: number): TokenSequence {
  return { tokens, targets: Uint32Array.from({ length: tokens.length - first }, (_, i) => first + i) };
}

/** The coefficients that need no log-probabilities: those of supervised examples. `share` is w / Σ w. */
export function knownCoefficients(example: TokenExample, share: number): Float32Array | undefined {
  if (example.kind !== 'supervised') return undefined;
  const count = example.sequence.targets.length;
  return new Float32Array(count).fill(share / count);
}

/**
 * ℓ and the coefficients of share · ℓ; `logs` are the log-probabilities of the targets of each sequence, `reference` the sums
 * of them before the training began.
 */
export function evaluate(
  example: TokenExample,
  share: number,
  logs: readonly Float32Array[],
  reference: readonly number[] | undefined,
  { preferenceBeta: beta }: ObjectiveOptions,
): ExampleResult {
  if (example.kind === 'preference') {
    const [chosen, rejected] = logs.map(sum);
    const [chosenBefore, rejectedBefore] = reference ?? [];
    const margin = beta * (chosen - chosenBefore - (rejected - rejectedBefore));
    const pull = share * beta * sigmoid(-margin);
    return {
      loss: softplus(-margin),
      coefficients: [new Float32Array(logs[0].length).fill(pull), new Float32Array(logs[1].length).fill(-pull)],
    };
  }
  const [own] = logs;
  const each = share / own.length;
  if (example.kind === 'supervised') {
    return { loss: -sum(own) / own.length, coefficients: [new Float32Array(own.length).fill(each)] };
  }
  let loss = 0;
  const coefficients = own.map((log) => {
    const doubt = Math.max(-Math.expm1(log), LEAST_DOUBT);
    loss -= Math.log(doubt) / own.length;
    return (-each * Math.exp(log)) / doubt;
  });
  return { loss, coefficients: [coefficients] };
}

export function sum(values: Float32Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** log(1 + eˣ) without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
