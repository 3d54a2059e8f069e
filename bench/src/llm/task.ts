/** What is trained, the same for lorakeet and for PEFT. */

export const TASK = {
  /** One epoch. */
  examples: 100,
  batchSize: 4,
  tokens: 128,
  /** The last ones: the others are the prompt. */
  targets: 64,
  rank: 16,
  alpha: 32,
  modules: ['q_proj', 'k_proj', 'v_proj'],
  learningRate: 3e-4,
} as const;

/** Token `index` of the examples, one after another: by the same arithmetic in bench/peers/peft_train.py. */
export function tokenAt(index: number, vocabSize: number): number {
  return (Math.imul(index + 1, 0x9e3779b1) >>> 8) % vocabSize;
}

export interface StepTimes {
  /** Of each step, by the clock. */
  seconds: number[];
  /** Of all threads, of all these steps together. */
  cpuSeconds: number;
  losses: number[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
