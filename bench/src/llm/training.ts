/** Training steps against PEFT on PyTorch, a whole epoch, and the memory that training takes. */
import { fileURLToPath } from 'node:url';
import type { Arithmetic, WeightStorage } from '#lorakeet/llm/decoder/contract.js';
import { formatTable } from '../table.js';
import { LineWorker } from './line-worker.js';
import { median, type StepTimes, TASK } from './task.js';
import type { Memory, Opened, Trained } from './train-worker.js';

export interface TrainingCase {
  model: string;
  folder: string;
  threads: number;
}

export interface TrainingRow {
  model: string;
  what: string;
  /** Median of the steps. */
  stepSeconds: number;
  cpuSecondsPerStep: number;
  tokensPerSecond: number;
  peakBytes: number;
}

export interface TrainingComparison {
  rows: TrainingRow[];
  /** By model: tokens/s as a multiple of PEFT's, of the better arithmetic or dtype of each, and of float32 of both. */
  ratios: Record<string, { better: number; float32: number }>;
  /** What PEFT ran on, or why it is not there. */
  peft: string;
}

const WORKER = fileURLToPath(new URL('./train-worker.js', import.meta.url));
/** Losses of the first step, with the adapter still nothing: float32 rounds in this place. */
const LOSS_TOLERANCE = 1e-4;

interface Side {
  what: string;
  worker: LineWorker;
  ask: (count: number) => object;
  times: StepTimes[];
}

/** `python` null: without PEFT, for the reason given. The sides take turns, so that what disturbs them disturbs them alike. */
export async function compareTraining(
  cases: readonly (TrainingCase & { rounds: number })[],
  python: { command: string; script: string } | { reason: string },
  onProgress: (what: string) => void,
): Promise<TrainingComparison> {
  const result: TrainingComparison = { rows: [], ratios: {}, peft: 'reason' in python ? python.reason : '' };
  for (const { model, folder, threads, rounds } of cases) {
    const sides: Side[] = [];
    try {
      for (const [arithmetic, weightStorage] of [
        ['f32', 'f32'],
        ['bf16', 'bf16'],
      ] as const) {
        const worker = new LineWorker(process.execPath, [WORKER]);
        const what = `lorakeet ${arithmetic}`;
        sides.push({ what, worker, ask: (count) => ({ kind: 'steps', count, recompute: false }), times: [] });
        onProgress(`training: opening ${model}, ${what}`);
        await worker.ask<Opened>({ kind: 'open', folder, arithmetic, weightStorage, threads });
      }
      for (const dtype of 'reason' in python ? [] : ['float32', 'bfloat16']) {
        const { command, script } = python as { command: string; script: string };
        const worker = new LineWorker(command, [script], { OMP_NUM_THREADS: String(threads) });
        const what = `PEFT ${dtype}`;
        sides.push({ what, worker, ask: (count) => ({ kind: 'steps', count }), times: [] });
        onProgress(`training: opening ${model}, ${what}`);
        const opened = await worker
          .ask<{ name: string }>({ kind: 'open', folder, dtype, threads, task: TASK })
          .catch((error: Error) => error);
        result.peft = opened instanceof Error ? opened.message : opened.name;
        if (!(opened instanceof Error)) continue;
        sides.pop();
        await worker.close();
        break;
      }
      for (let round = 0; round <= rounds; round++) {
        for (const { what, worker, ask, times } of sides) {
          onProgress(`training: ${model}, ${what}, ${round === 0 ? 'warming up' : `round ${round} of ${rounds}`}`);
          times.push(await worker.ask<StepTimes>(ask(round === 0 ? 1 : 2)));
        }
      }
      requireSameLoss(model, sides);
      for (const { what, worker, times } of sides) {
        const { peakBytes } = await worker.ask<Memory>({ kind: 'memory' });
        result.rows.push(rowOf(model, what, times.slice(1), peakBytes));
      }
      const peft = sides.some(({ what }) => what.startsWith('PEFT'));
      if (peft) result.ratios[model] = ratiosOf(result.rows.filter((row) => row.model === model));
    } finally {
      for (const { worker } of sides) await worker.close();
    }
  }
  return result;
}

/** What is wrong is not worth timing. bfloat16 may be off by what its eight bits leave. */
function requireSameLoss(model: string, sides: readonly Side[]): void {
  const wanted = sides[0].times[0].losses[0];
  for (const { what, times } of sides) {
    const tolerance = what.endsWith('32') ? LOSS_TOLERANCE : 100 * LOSS_TOLERANCE;
    const loss = times[0].losses[0];
    if (!(Math.abs(loss - wanted) <= tolerance * wanted)) {
      throw new Error(`${model}, ${what}: the first loss is ${loss}, that of ${sides[0].what} ${wanted}`);
    }
  }
}

function rowOf(model: string, what: string, times: readonly StepTimes[], peakBytes: number): TrainingRow {
  const seconds = times.flatMap((each) => each.seconds);
  const stepSeconds = median(seconds);
  return {
    model,
    what,
    stepSeconds,
    cpuSecondsPerStep: median(times.map((each) => each.cpuSeconds / each.seconds.length)),
    tokensPerSecond: (TASK.batchSize * TASK.tokens) / stepSeconds,
    peakBytes,
  };
}

function ratiosOf(rows: readonly TrainingRow[]): { better: number; float32: number } {
  const speed = (pattern: RegExp) =>
    Math.max(...rows.filter(({ what }) => pattern.test(what)).map((row) => row.tokensPerSecond));
  return {
    better: speed(/^lorakeet/) / speed(/^PEFT/),
    float32: speed(/^lorakeet f32/) / speed(/^PEFT float32/),
  };
}

export function trainingTable({ rows }: TrainingComparison): string {
  return formatTable(
    ['<model', '<', 's/step', 'CPU s/step', 'tokens/s', 'peak MB'],
    rows.map(({ model, what, stepSeconds, cpuSecondsPerStep, tokensPerSecond, peakBytes }) => [
      model,
      what,
      stepSeconds.toFixed(2),
      cpuSecondsPerStep.toFixed(2),
      tokensPerSecond.toFixed(0),
      (peakBytes / 1e6).toFixed(0),
    ]),
  );
}

export function ratioLines({ ratios }: TrainingComparison): string[] {
  return Object.entries(ratios).map(
    ([model, { better, float32 }]) =>
      `${model}: ${better.toFixed(2)} × as fast as PEFT's better one, ${float32.toFixed(2)} × in float32`,
  );
}

export interface EpochRow {
  model: string;
  arithmetic: Arithmetic;
  weightStorage: WeightStorage;
  steps: number;
  seconds: number;
  /** Those steps, as they would add up to TASK.examples. */
  epochSeconds: number;
  weightBytes: number;
  plannedBytes: number;
  /** Of the fresh process, before it opened the model. */
  startBytes: number;
  peakBytes: number;
}

export interface EpochCase extends TrainingCase {
  arithmetic: Arithmetic;
  weightStorage: WeightStorage;
  steps: number;
}

/** For Node.js itself, of the quarter; and what is left to a training where that quarter is small. */
const RUNTIME_BYTES = 60e6;
const LEAST_BYTES = 60e6;

/**
 * In a fresh process that loads and trains within a quarter of the weights where it can: what the epoch takes, in time and
 * memory.
 */
export async function measureEpoch(epoch: EpochCase): Promise<EpochRow> {
  const { model, steps, folder, threads, arithmetic, weightStorage } = epoch;
  const worker = new LineWorker(process.execPath, [WORKER]);
  try {
    const opened = await worker.ask<Opened>({ kind: 'open', folder, threads, arithmetic, weightStorage });
    const memoryLimitBytes = Math.max(opened.weightBytes / 4 - RUNTIME_BYTES, LEAST_BYTES);
    const trained = await worker.ask<Trained>({ kind: 'steps', count: steps, memoryLimitBytes });
    const memory = await worker.ask<Memory>({ kind: 'memory' });
    const seconds = trained.seconds.reduce((sum, each) => sum + each, 0);
    return {
      model,
      arithmetic,
      weightStorage,
      steps,
      seconds,
      epochSeconds: (seconds * TASK.examples) / TASK.batchSize / steps,
      weightBytes: opened.weightBytes,
      plannedBytes: trained.plannedBytes,
      ...memory,
    };
  } finally {
    await worker.close();
  }
}

export function epochTable(rows: readonly EpochRow[]): string {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);
  return formatTable(
    [
      '<model',
      '<arithmetic',
      '<weights',
      'steps',
      'epoch s',
      'weights MB',
      'peak MB',
      '×',
      'without runtime ×',
      'planned MB',
    ],
    rows.map((row) => [
      row.model,
      row.arithmetic,
      row.weightStorage,
      String(row.steps),
      row.epochSeconds.toFixed(0),
      mb(row.weightBytes),
      mb(row.peakBytes),
      (row.peakBytes / row.weightBytes).toFixed(2),
      ((row.peakBytes - row.startBytes) / row.weightBytes).toFixed(2),
      mb(row.plannedBytes),
    ]),
  );
}
