/** Parts of a service over the small real model, for jobs that run by themselves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { selectDecoder } from '../../../../src/llm/decoder/select.js';
import { type LanguageModel, loadBaseModel } from '../../../../src/llm/index.js';
import { type Logger, silentLogger } from '../../../../src/logger.js';
import { loadConfig } from '../../../../src/service/config/load.js';
import { silentEvents } from '../../../../src/service/engine/events.js';
import type { ServiceParts } from '../../../../src/service/engine/parts.js';
import type { FeedbackInput } from '../../../../src/service/feedback/feedback.js';
import { SqliteFeedbackStore } from '../../../../src/service/feedback/sqlite-feedback.js';
import type { Job, Json } from '../../../../src/service/jobs/job.js';
import { SqliteJobQueue } from '../../../../src/service/jobs/sqlite-queue.js';
import type { JobContext } from '../../../../src/service/jobs/worker.js';
import { MemoryVersionStore } from '../../../../src/stores/memory.js';
import { AdapterVersions } from '../../../../src/versions/adapter-versions.js';
import { root } from '../../../support/imports.js';
import { ManualClock } from '../../jobs/manual-clock.js';

export const backend = selectDecoder().backend.name;
export const isSlow = backend === 'js';
export const skipped = isSlow ? ' (skipped: the JavaScript decoder is slow at it)' : '';

export const DAY_MS = 86_400_000;
export const NOW = Date.UTC(2026, 4, 4, 12);

let loading: Promise<LanguageModel> | undefined;
/** One for all tests of a file. */
export function loadModel(): Promise<LanguageModel> {
  loading ??= loadBaseModel(join(root, 'models/tiny-shakespeare-llama'), { positions: 256 });
  return loading;
}

/** Quick, and strong enough that few examples show. */
export const QUICK = {
  'model.folder': 'models/tiny-shakespeare-llama',
  'lora.rank': 4,
  'lora.alpha': 8,
  'lora.dropout': 0,
  'training.minimumSamples': 4,
  'training.accumulation': 1,
  'training.batchSize': 4,
  'training.learningRate': 0.005,
  'training.warmupSteps': 0,
  'training.epochs': 2,
  'training.replayShare': 0,
  'golden.maxNewTokens': 24,
};

export type TestParts = ServiceParts & { clock: ManualClock; lines: string[] };

export async function openParts(
  overrides: Record<string, unknown> = {},
  replaced: Partial<ServiceParts> = {},
): Promise<TestParts> {
  const { config } = await loadConfig({ env: {}, overrides: { ...QUICK, ...overrides } });
  const model = await loadModel();
  const clock = new ManualClock(NOW);
  const versionStore = replaced.versionStore ?? new MemoryVersionStore();
  const lines: string[] = [];
  const keep = (message: string) => void lines.push(message);
  const logger: Logger = { ...silentLogger, info: keep, warn: keep, error: keep };
  const project = config.lora.project;
  return {
    config,
    logger,
    clock,
    feedback: new SqliteFeedbackStore(':memory:'),
    versionStore,
    versions: new AdapterVersions(versionStore, project, { now: () => new Date(clock.now()) }),
    queue: new SqliteJobQueue(':memory:', { now: clock.now }),
    queueName: `train:${project}`,
    model: { name: 'tiny-shakespeare-llama', loaded: model, load: async () => model },
    scheduler: undefined,
    events: silentEvents,
    lora: {
      activate: () => Promise.reject(new Error('nobody may activate anything')),
      loraStatus: () => Promise.reject(new Error('nobody asks')),
    },
    wakeWorker() {},
    lines,
    ...replaced,
  } as TestParts;
}

export interface TestContext extends JobContext {
  controller: AbortController;
  seen: Json[];
  checkpoints: Json[];
}

export function openContext(): TestContext {
  const controller = new AbortController();
  const seen: Json[] = [];
  const checkpoints: Json[] = [];
  return {
    controller,
    signal: controller.signal,
    seen,
    checkpoints,
    progress: (value) => void seen.push(structuredClone(value)),
    checkpoint: (value) => void checkpoints.push(structuredClone(value)),
  };
}

let jobs = 0;
/** As a worker has claimed it. */
export function claimed(payload: object, more: Partial<Job> = {}): Job {
  return {
    ...{ id: `job-${++jobs}`, queue: 'train:default', state: 'running', payload: payload as Json, priority: 0 },
    ...{ idempotencyKey: undefined, maxAttempts: 3, backOffMs: 1, failures: 0, claims: 1, worker: 'test' },
    ...{ progress: undefined, checkpoint: undefined, result: undefined, error: undefined, cancelRequested: false },
    ...{ createdAt: new Date(NOW), runAt: new Date(NOW), startedAt: new Date(NOW) },
    ...{ finishedAt: undefined, leaseEndsAt: undefined },
    ...more,
  } as Job;
}

export const caller = { name: 'tester' };

/** Speeches of Shakespeare that the model has not been trained on. */
export function speeches(): { prompt: string; answer: string }[] {
  const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
  return text
    .split('\n\n')
    .map((speech) => /^(.+):\n([\s\S]+)$/.exec(speech))
    .filter((match) => match !== null && match[2].length > 40 && match[2].length < 120)
    .map((match) => ({ prompt: `${match?.[1]} speaks now:`, answer: match?.[2] as string }));
}

export function feedback(
  prompt: string,
  answer: string,
  more: Partial<FeedbackInput> & { daysAgo?: number } = {},
): FeedbackInput {
  const { daysAgo = 1, ...rest } = more;
  return {
    type: 'thumbs_up',
    request: { messages: [{ role: 'user', content: prompt }] },
    response: { choices: [{ message: { role: 'assistant', content: answer } }] },
    createdAt: new Date(NOW - daysAgo * DAY_MS),
    ...rest,
  };
}

/** `count` liked speeches from the `first` on. */
export function liked(count: number, first = 0, more: Partial<FeedbackInput> & { daysAgo?: number } = {}) {
  return speeches()
    .slice(first, first + count)
    .map(({ prompt, answer }, i) => feedback(prompt, answer, { id: `liked-${first + i}`, ...more }));
}
