/** The whole service with the small real model, feedback, and what a browser needs to visit it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/logger.js';
import { loadConfig } from '../../../src/service/config/load.js';
import { openLearningService } from '../../../src/service/engine/learning-service.js';
import type { LearningService } from '../../../src/service/engine/operations.js';
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
  train(): Promise<string>;
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
    async train() {
      const { id } = await service.train({}, { name: 'test' });
      for (;;) {
        const job = await service.job(id);
        if (job.state === 'completed') return (job.result as { version: string }).version;
        if (job.state === 'failed') throw new Error(job.error);
        await new Promise((done) => setTimeout(done, 20));
      }
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

/** Judgements of speeches that the model was not trained on, over six days. */
function feedback(intent: string): FeedbackInput[] {
  const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
  const speeches = text.split('\n\n').flatMap((speech) => {
    const [, speaker, words] = /^(.+):\n([\s\S]{40,120})$/.exec(speech) ?? [];
    return words === undefined ? [] : [{ speaker, words }];
  });
  const intents = ['verse', 'verse', 'verse', 'prose', 'prose', intent];
  return speeches.slice(0, 48).map(({ speaker, words }, i) => ({
    id: `row-${i}`,
    type: i % 6 === 5 ? 'thumbs_down' : 'thumbs_up',
    request: { messages: [{ role: 'user', content: `${speaker} speaks now:` }] },
    response: { choices: [{ message: { role: 'assistant', content: words } }] },
    intent: intents[i % intents.length],
    project: 'stage',
    createdAt: new Date(Date.now() - (i % 6) * DAY_MS - 1000),
  }));
}
