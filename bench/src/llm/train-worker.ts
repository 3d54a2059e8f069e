/** Loads a model and trains an adapter in a process of its own, whose memory is then nobody else's. */
import { performance } from 'node:perf_hooks';
import type { Arithmetic, WeightStorage } from '#lorakeet/llm/decoder/contract.js';
import { selectDecoder } from '#lorakeet/llm/decoder/select.js';
import { createLanguageAdapter, type LanguageAdapter } from '#lorakeet/llm/language-adapter.js';
import { openModelFolder } from '#lorakeet/llm/model-folder.js';
import { targetsFrom } from '#lorakeet/llm/objectives.js';
import { trainLanguageAdapter } from '#lorakeet/llm/trainer.js';
import { answerLines } from './line-worker.js';
import { type StepTimes, TASK, tokenAt } from './task.js';

export type TrainQuestion =
  | { kind: 'open'; folder: string; arithmetic: Arithmetic; weightStorage: WeightStorage; threads: number }
  | { kind: 'steps'; count: number; recompute?: boolean; memoryLimitBytes?: number }
  | { kind: 'memory' };

type Steps = Extract<TrainQuestion, { kind: 'steps' }>;

export interface Opened {
  name: string;
  weightBytes: number;
  loadSeconds: number;
}

export interface Trained extends StepTimes {
  /** Beside the model, as planned beforehand. */
  plannedBytes: number;
}

export interface Memory {
  /** Before the model was opened: the runtime itself. */
  startBytes: number;
  peakBytes: number;
}

const startBytes = process.memoryUsage.rss();
let train: ((question: Steps) => Promise<Trained>) | undefined;

await answerLines(async (question: TrainQuestion): Promise<Opened | Trained | Memory> => {
  if (question.kind === 'open') return open(question);
  if (question.kind === 'memory') return { startBytes, peakBytes: process.resourceUsage().maxRSS * 1024 };
  if (!train) throw new Error('steps: no model has been opened');
  return train(question);
});
process.exit(0);

async function open(question: Extract<TrainQuestion, { kind: 'open' }>): Promise<Opened> {
  const { folder, arithmetic, weightStorage, threads } = question;
  const start = performance.now();
  const files = await openModelFolder(folder);
  const { shape } = files.config;
  const model = selectDecoder('auto').backend.createModel(shape, { arithmetic, weightStorage, threads });
  await files.load(model);
  await files.close();
  const loadSeconds = (performance.now() - start) / 1000;
  const { rank, alpha, modules } = TASK;
  const adapter = await createLanguageAdapter(model, { rank, alpha, targetModules: modules });
  train = (steps) => trainSteps(steps, adapter);
  return { name: `${model.backend} ${model.device}`, weightBytes: model.weightBytes, loadSeconds };

  async function trainSteps({ count, recompute, memoryLimitBytes }: Steps, to: LanguageAdapter): Promise<Trained> {
    const { batchSize, tokens, targets, learningRate } = TASK;
    const examples = Array.from({ length: count * batchSize }, (_, example) => {
      const row = Uint32Array.from({ length: tokens }, (_, i) => tokenAt(example * tokens + i, shape.vocabSize));
      return { kind: 'supervised' as const, weight: 1, sequence: targetsFrom(row, tokens - targets) };
    });
    const seconds: number[] = [];
    const before = process.cpuUsage();
    let last = performance.now();
    const { losses, memoryBytes } = await trainLanguageAdapter(model, to, examples, {
      contextLength: tokens,
      batchSize,
      learningRate,
      schedule: 'constant',
      recompute,
      memoryLimitBytes,
      onProgress: () => {
        const now = performance.now();
        seconds.push((now - last) / 1000);
        last = now;
      },
    });
    const { user, system } = process.cpuUsage(before);
    return { seconds, cpuSeconds: (user + system) / 1e6, losses, plannedBytes: memoryBytes };
  }
}
