/**
 * Two tasks, one after the other: 8 inputs each, targets x + ½m₁, then x + ½m₂. What is left of the first task once the
 * second is learned, by an engine with default settings but for λ.
 */
import {
  type AdapterFeedback,
  createLoRAPersonalizationEngine,
  type LoRAConfig,
  type LoRAPersonalizationEngine,
  silentLogger,
  type UserLoRAAdapter,
} from '#lorakeet/index.js';
import { SeededRandom } from '#lorakeet/testing/random.js';

const [DIM, ROWS] = [32, 8];

export interface TwoTaskResult {
  /** Loss of task 1 before and after learning it, and after learning task 2. */
  first: { start: number; learned: number; later: number };
  /** Loss of task 2 before and after learning it. */
  second: { start: number; learned: number };
}

export interface TwoTaskConfig extends LoRAConfig {
  /** Per task, on all its rows each; default 1000 */
  updates?: number;
}

/** `consolidate`: call consolidateAdapter between the tasks. */
export async function learnTwoTasks(seed: number, settings: TwoTaskConfig, consolidate = true): Promise<TwoTaskResult> {
  const { updates = 1000, ...config } = settings;
  const engine = createLoRAPersonalizationEngine({ embeddingDim: DIM, seed, logger: silentLogger, ...config });
  try {
    const random = new SeededRandom(seed);
    const [task1, task2] = [makeTask(random), makeTask(random)];
    let adapter = engine.createAdapter('user');
    const first = { start: lossOf(engine, adapter, task1), learned: 0, later: 0 };
    adapter = await learn(engine, adapter, task1, updates);
    first.learned = lossOf(engine, adapter, task1);
    if (consolidate) adapter = await engine.consolidateAdapter(adapter, task1);
    const second = { start: lossOf(engine, adapter, task2), learned: 0 };
    adapter = await learn(engine, adapter, task2, updates);
    second.learned = lossOf(engine, adapter, task2);
    first.later = lossOf(engine, adapter, task1);
    return { first, second };
  } finally {
    await engine.close();
  }
}

/** The rise of task 1's loss with EWC, as a share of that without. */
export function keptRise(result: TwoTaskResult, without: TwoTaskResult): number {
  return (result.first.later - result.first.learned) / (without.first.later - without.first.learned);
}

function makeTask(random: SeededRandom): AdapterFeedback[] {
  const shift = random.normals(DIM, 0.5);
  return Array.from({ length: ROWS }, () => {
    const contentEmbedding = random.normals(DIM);
    const targetEmbedding = contentEmbedding.map((value, j) => value + shift[j]);
    return { contentEmbedding, targetEmbedding, reward: 1, timestamp: new Date(0) };
  });
}

async function learn(
  engine: LoRAPersonalizationEngine,
  adapter: UserLoRAAdapter,
  task: readonly AdapterFeedback[],
  updates: number,
): Promise<UserLoRAAdapter> {
  let learned = adapter;
  for (let i = 0; i < updates; i++) learned = await engine.updateAdapter(learned, task);
  return learned;
}

function lossOf(engine: LoRAPersonalizationEngine, adapter: UserLoRAAdapter, task: readonly AdapterFeedback[]): number {
  const outputs = engine.batchComputeLoRAForward(
    task.map(({ contentEmbedding }) => contentEmbedding),
    adapter,
  );
  let sum = 0;
  outputs.forEach((y, i) => {
    const target = task[i].targetEmbedding as Float32Array;
    for (let j = 0; j < DIM; j++) sum += (y[j] - target[j]) ** 2;
  });
  return sum / (ROWS * DIM);
}
