/** The whole service with the small real model, feedback, and what a browser needs to visit it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/logger.js';
import { loadConfig } from '../../../src/service/config/load.js';
import { openLearningService } from '../../../src/service/engine/learning-service.js';
import type { LearningService, TrainRequest } from '../../../src/service/engine/operations.js';
import type { FeedbackInput } from '../../../src/service/feedback/feedback.js';
import { serve } from '../../../src/service/http/serve.js';
import { root } from '../../support/imports.js';

export const OPERATE = 'operate-token-of-the-browser-test';
export const READ = 'read-token-of-the-browser-test';
/** Would do something if it were taken for markup. */
export const INJECTION = '<img src=x onerror="document.title=1"><script>document.title=1</script>';

const DAY_MS = 86_400_000;
/** Few steps, large ones. */
const SETTINGS = {
  'model.folder': join(root, 'models/tiny-shakespeare-llama'),
  'model.positions': 256,
  'lora.rank': 4,
  'lora.dropout': 0,
  'training.minimumSamples': 20,
  'training.accumulation': 1,
  'training.learningRate': 0.002,
  'training.warmupSteps': 0,
  'training.epochs': 2,
  'training.replayShare': 0,
  'ewc.fisherSamples': 8,
  'golden.maxNewTokens': 40,
  'golden.minPassRate': 0.5,
  'service.host': '127.0.0.1',
  'service.port': 0,
  'service.tokens': [
    { name: 'ada', token: OPERATE, scope: 'operate' },
    { name: 'bob', token: READ, scope: 'read' },
  ],
};

export interface RunningService {
  url: string;
  service: LearningService;
  /** Resolves with the version of a training that has ended. */
  train(request?: TrainRequest): Promise<string>;
  /** So much, six days old, that its training takes a while. */
  addFeedback(): Promise<void>;
  close(): Promise<void>;
}

/** `intent`: of a part of the feedback. */
export async function startService(intent = INJECTION, more: Record<string, unknown> = {}): Promise<RunningService> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lorakeet-dashboard-'));
  const overrides = { ...SETTINGS, ...more, 'storage.folder': folder, 'golden.suite': writeSuite(folder, 3) };
  const { config } = await loadConfig({ env: {}, overrides });
  const service = await openLearningService(config, { logger: silentLogger });
  await service.appendFeedback(feedback(intent));
  const served = await serve(service, config, { logger: silentLogger, signals: false });
  return {
    url: served.url,
    service,
    async train(request = {}) {
      const { id } = await service.train(request, { name: 'test' });
      for (;;) {
        const job = await service.job(id);
        if (job.state === 'completed') return (job.result as { version: string }).version;
        if (job.state === 'failed') throw new Error(job.error);
        await new Promise((done) => setTimeout(done, 20));
      }
    },
    async addFeedback() {
      await service.appendFeedback(rows(56, 400).map((row) => ({ ...row, createdAt: daysAgo(6) })));
    },
    async close() {
      await served.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function writeSuite(folder: string, cases: number): string {
  const all = readFileSync(join(root, 'examples/golden-set/tiny-shakespeare.ndjson'), 'utf8').trim().split('\n');
  // one that fails, so that there is something to see
  const failing = { id: 'no-romeo-here', prompt: 'ROMEO:\n', severity: 'low', must_match: ['xylophone'] };
  const path = join(folder, 'suite.ndjson');
  writeFileSync(path, [...all.slice(0, cases), JSON.stringify(failing)].join('\n'));
  return path;
}

/** Judgements of speeches that the model was not trained on: 48 of six days, and 8 older ones, which EWC holds on to. */
function feedback(intent: string): FeedbackInput[] {
  const intents = ['verse', 'verse', 'verse', 'prose', 'prose', intent];
  return rows(0, 56).map((row, i) => ({
    ...row,
    type: i % 6 === 5 ? 'thumbs_down' : 'thumbs_up',
    intent: intents[i % intents.length],
    createdAt: daysAgo(i < 48 ? i % 6 : 10),
  }));
}

function rows(from: number, to: number): FeedbackInput[] {
  const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
  const speeches = text.split('\n\n').flatMap((speech) => {
    const [, speaker, words] = /^(.+):\n([\s\S]{40,120})$/.exec(speech) ?? [];
    return words === undefined ? [] : [{ speaker, words }];
  });
  return speeches.slice(from, to).map(({ speaker, words }, i) => ({
    id: `row-${from + i}`,
    type: 'thumbs_up',
    request: { messages: [{ role: 'user', content: `${speaker} speaks now:` }] },
    response: { choices: [{ message: { role: 'assistant', content: words } }] },
    project: 'stage',
  }));
}

const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS - 1000);
