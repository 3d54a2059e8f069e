/** Users who learn one batch at a time through the engine, and how well they do after each on rows of theirs kept aside. */
import { nativeInfo } from '#lorakeet/kernels/native.js';
import { silentLogger } from '#lorakeet/logger.js';
import { LoRAPersonalizationEngine } from '#lorakeet/personalization/engine.js';
import type { LoRAConfig } from '#lorakeet/personalization/types.js';
import type { ReasoningBankInstance } from '#lorakeet/reasoning/contract.js';

/** Rows [n × features]. */
export interface Batch {
  x: Float32Array;
  target: Float32Array;
}

export interface Learner {
  userId: string;
  /** One update each. */
  batches: readonly Batch[];
  test: Batch;
}

export interface Population {
  features: number;
  /** Those whom the bank watches first. */
  earlier: readonly Learner[];
  /** Those who are compared, every one with as many batches. */
  fresh: readonly Learner[];
}

/** Answers may take as long as they need, so that a busy machine changes no result. */
const PATIENT = { timeoutMs: 60_000 };

/** Lets one user after another learn; nothing is measured. */
export async function learnAll(
  config: LoRAConfig,
  learners: readonly Learner[],
  reasoningBank: ReasoningBankInstance,
): Promise<void> {
  const engine = engineOf(config, reasoningBank);
  for (const learner of learners) await learnOne(engine, learner);
  await engine.close();
}

/** Mean over the users of the loss on their test rows, before the first update and after each. */
export async function meanCurve(
  config: LoRAConfig,
  learners: readonly Learner[],
  reasoningBank?: ReasoningBankInstance,
): Promise<number[]> {
  const engine = engineOf(config, reasoningBank);
  const curve: number[] = [];
  for (const learner of learners) {
    const losses = await learnOne(engine, learner, true);
    losses.forEach((loss, update) => {
      curve[update] = (curve[update] ?? 0) + loss / learners.length;
    });
  }
  await engine.close();
  return curve;
}

/** Updates after which the curve first lies at `level`, between two of them by a straight line; Infinity if it never does. */
export function updatesTo(curve: readonly number[], level: number): number {
  const k = curve.findIndex((loss) => loss <= level);
  if (k < 0) return Infinity;
  return k === 0 ? 0 : k - (level - curve[k]) / (curve[k - 1] - curve[k]);
}

/**
 * The share of its updates that the second curve spares in reaching what both reach: the higher of their two lowest points.
 * Negative if it needs more.
 */
export function sparedShare(without: readonly number[], withBank: readonly number[]): number {
  const level = Math.max(Math.min(...without), Math.min(...withBank));
  const updates = updatesTo(without, level);
  // where nothing that one of them learns helps, both are at their best before the first update
  return updates === 0 ? 0 : 1 - updatesTo(withBank, level) / updates;
}

function engineOf(config: LoRAConfig, reasoningBank?: ReasoningBankInstance): LoRAPersonalizationEngine {
  const backend = nativeInfo().available ? 'cpu' : 'js'; // one at a time is no work for a GPU
  const common = { backend, threads: 1, logger: silentLogger, reasoning: PATIENT } as const;
  return new LoRAPersonalizationEngine({ ...config, ...common, reasoningBank });
}

async function learnOne(engine: LoRAPersonalizationEngine, learner: Learner, measured = false): Promise<number[]> {
  const { embeddingDim } = engine.getConfig();
  const losses: number[] = [];
  let adapter = engine.createAdapter(learner.userId);
  const measure = () => {
    if (!measured) return;
    const y = engine.batchComputeLoRAForward(rowsOf(learner.test.x, embeddingDim), adapter);
    losses.push(meanSquare(y, learner.test.target));
  };
  measure();
  for (const { x, target } of learner.batches) {
    const targets = rowsOf(target, embeddingDim);
    const timestamp = new Date(0);
    const feedback = rowsOf(x, embeddingDim).map((contentEmbedding, row) => ({
      contentEmbedding,
      targetEmbedding: targets[row],
      reward: 1,
      timestamp,
    }));
    adapter = await engine.updateAdapter(adapter, feedback);
    // every episode is in the bank before the next question
    await engine.flushReasoningBank();
    measure();
  }
  return losses;
}

function rowsOf(values: Float32Array, features: number): Float32Array[] {
  return Array.from({ length: values.length / features }, (_, i) => values.subarray(i * features, (i + 1) * features));
}

function meanSquare(rows: readonly Float32Array[], target: Float32Array): number {
  let sum = 0;
  let at = 0;
  for (const row of rows) for (const value of row) sum += (value - target[at++]) ** 2;
  return sum / target.length;
}
