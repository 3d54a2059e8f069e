/**
 * The adapter learning engine on the model in the repository: how long trainings take, and how much of a first task is kept
 * while a second one is learnt, by what incremental mode does about it.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  AdapterConfig,
  AdapterLearningEngine,
  type EngineOptions,
  InMemoryAdapterStorage,
  InMemoryBlobStorage,
  TrainingConfig,
} from '#lorakeet/learning/index.js';
import { type LanguageModel, loadBaseModel } from '#lorakeet/llm/index.js';
import { cpuClock } from '../measure.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import { manyExamples, TASKS, type TaskName } from './tasks.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const COUNTS = [25, 50, 100, 200, 400];
const ROUNDS = 5;
const PAIRS: readonly [TaskName, TaskName][] = [
  ['loves', 'where'],
  ['where', 'how'],
  ['how', 'loves'],
];
const WAYS: Record<string, EngineOptions> = {
  'EWC 100': { ewcLambda: 100, replayShare: 0 },
  'EWC 500': { ewcLambda: 500, replayShare: 0 },
  'EWC 1000': { ewcLambda: 1000, replayShare: 0 },
  'EWC 5000': { ewcLambda: 5000, replayShare: 0 },
  'replay 0.25': { ewcLambda: 0, replayShare: 0.25 },
  'both (default)': {},
};

interface TimeRow {
  examples: number;
  steps: number;
  tokens: number;
  /** Medians of whole trainAdapter calls, in ms. CPU time is that of all threads. */
  wallMs: number;
  cpuMs: number;
}

interface KeepingRow {
  way: string;
  /** Means over pairs of tasks, relative to training without incremental mode: A's rise and B's reduction of the loss. */
  forgetting: number;
  learning: number;
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  try {
    parseArgs({ args: [...args], options: {} });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const model = await loadBaseModel(join(ROOT, 'models', 'tiny-shakespeare-llama'));
  try {
    const { device } = model.backend;
    const times = await measureTimes(model, COUNTS, ROUNDS, onProgress);
    const keeping = await measureKeeping(model, WAYS, PAIRS, onProgress);
    console.log(`\ndecoder: ${device}\n\n${timeTable(times)}\n\n${keepingTable(keeping)}`);
    return { device, times, keeping };
  } finally {
    model.close();
  }
}

/** One epoch in batches of 4 of an adapter of rank 8 on q_proj and v_proj, the defaults. */
export async function measureTimes(
  model: LanguageModel,
  counts: readonly number[],
  rounds: number,
  onProgress: (what: string) => void,
): Promise<TimeRow[]> {
  const rows: TimeRow[] = [];
  for (const count of counts) {
    onProgress(`${count} examples`);
    const examples = manyExamples(count);
    const walls: number[] = [];
    const cpus: number[] = [];
    let work = { steps: 0, tokens: 0 };
    for (let round = 0; round < rounds; round++) {
      const engine = open(model, { heldBackShare: 0 });
      const id = (await engine.createAdapter('times', AdapterConfig.default())).value;
      const [wall, cpu] = [performance.now(), cpuClock()];
      const { steps, tokens } = (await engine.trainAdapter(id, examples, TrainingConfig.default())).value;
      walls.push(performance.now() - wall);
      cpus.push(cpuClock() - cpu);
      work = { steps, tokens };
    }
    rows.push({ examples: count, ...work, wallMs: median(walls), cpuMs: median(cpus) });
  }
  return rows;
}

export async function measureKeeping(
  model: LanguageModel,
  ways: Record<string, EngineOptions>,
  pairs: readonly [TaskName, TaskName][],
  onProgress: (what: string) => void,
): Promise<KeepingRow[]> {
  const plain: { rise: number; gain: number }[] = [];
  for (const pair of pairs) plain.push(await learnTwo(model, pair, undefined));
  const rows: KeepingRow[] = [];
  for (const [way, options] of Object.entries(ways)) {
    onProgress(way);
    const shares: Omit<KeepingRow, 'way'>[] = [];
    for (const [i, pair] of pairs.entries()) {
      const { rise, gain } = await learnTwo(model, pair, options);
      shares.push({ forgetting: rise / plain[i].rise, learning: gain / plain[i].gain });
    }
    const mean = (of: 'forgetting' | 'learning') => shares.reduce((sum, each) => sum + each[of], 0) / shares.length;
    rows.push({ way, forgetting: mean('forgetting'), learning: mean('learning') });
  }
  return rows;
}

/** Task A, then task B, the latter incremental where there are options. */
async function learnTwo(
  model: LanguageModel,
  [a, b]: readonly [TaskName, TaskName],
  options: EngineOptions | undefined,
): Promise<{ rise: number; gain: number }> {
  const engine = open(model, { heldBackShare: 0, ...options });
  const id = (await engine.createAdapter('keeping', AdapterConfig.default().with({ learningRate: 0.01 }))).value;
  const lossOf = async (task: TaskName) => (await engine.evaluate(TASKS[task], id)).value.loss;
  const config = new TrainingConfig({ epochs: 6 });
  await engine.trainAdapter(id, TASKS[a], config);
  const before = { a: await lossOf(a), b: await lossOf(b) };
  await engine.trainAdapter(id, TASKS[b], config.with({ incrementalUpdate: options !== undefined }));
  return { rise: (await lossOf(a)) - before.a, gain: before.b - (await lossOf(b)) };
}

function open(model: LanguageModel, options: EngineOptions): AdapterLearningEngine {
  return new AdapterLearningEngine(model, new InMemoryAdapterStorage(), new InMemoryBlobStorage(), options);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function timeTable(rows: readonly TimeRow[]): string {
  return formatTable(
    ['examples', 'steps', 'tokens', 'wall s', 'CPU s', 'CPU ms an example'],
    rows.map(({ examples, steps, tokens, wallMs, cpuMs }) => [
      String(examples),
      String(steps),
      String(tokens),
      (wallMs / 1000).toFixed(2),
      (cpuMs / 1000).toFixed(2),
      (cpuMs / examples).toFixed(2),
    ]),
  );
}

function keepingTable(rows: readonly KeepingRow[]): string {
  return formatTable(
    ['incremental by', "rise of A's loss", "reduction of B's loss"],
    rows.map(({ way, forgetting, learning }) => [way, forgetting.toFixed(2), learning.toFixed(2)]),
  );
}
