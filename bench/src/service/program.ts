/**
 * `lorakeet serve` under load: POST /feedback at a fixed rate, with GET /health and POST /generate beside it, while nothing else
 * happens and while a job of training runs the whole time.
 */
import { strictEqual } from 'node:assert';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import type { GeneratorPlan, StreamFigures } from './generator.js';
import { type Served, startServed } from './served.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '..', '..', '..');
const GENERATOR = join(HERE, 'generator.js');
const START_OF_TRAINING_MS = 60_000;

interface Phase {
  during: 'nothing else' | 'training';
  streams: StreamFigures[];
  /** Of the service, in cores. */
  cpu: number;
  /** Of the job of training, at its end. */
  steps?: number;
}

interface JobAnswer {
  id: string;
  state: string;
  error?: string;
  progress?: { phase: string; done: number };
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const options = parseOptions(args);
  const env = { ...(options.postgres && { LORAKEET_FEEDBACK_KIND: 'postgres' }), ...threadsOf(options.threads) };
  const served = await startServed(ROOT, env);
  try {
    onProgress('with nothing else to do');
    const idle = await measure(served, options, 'nothing else');
    onProgress('while it trains');
    const training = await whileTraining(served, () => measure(served, options, 'training'));
    const phases = [idle, training];
    const { total } = (await served.ask<{ feedback: { total: number } }>('GET', '/overview')).feedback;
    const acknowledged = phases.flatMap(({ streams }) => streams.map(({ answers }) => answers['201'] ?? 0));
    const sum = acknowledged.reduce((a, b) => a + b);
    // in a database that others use, too, there is more
    if (!options.postgres) strictEqual(total, sum, 'rows that were acknowledged are not there');
    print(phases);
    return { ...options, store: options.postgres ? 'Postgres' : 'SQLite', phases };
  } finally {
    await served.stop();
  }
}

async function measure(served: Served, { seconds, rate, generate }: Options, during: Phase['during']): Promise<Phase> {
  const plan: GeneratorPlan = {
    url: served.url,
    token: served.token,
    seconds,
    streams: [
      { name: 'POST /feedback', method: 'POST', path: '/feedback', body: feedback(), perSecond: rate },
      { name: 'GET /health', method: 'GET', path: '/health', perSecond: 5 },
      ...(generate > 0
        ? [{ name: 'POST /generate', method: 'POST' as const, path: '/generate', body: question, perSecond: generate }]
        : []),
    ],
  };
  const [begin, cpu] = [performance.now(), served.cpuSeconds()];
  const { stdout } = await promisify(execFile)(process.execPath, [GENERATOR, JSON.stringify(plan)]);
  const used = (served.cpuSeconds() - cpu) / ((performance.now() - begin) / 1000);
  return { during, streams: JSON.parse(stdout), cpu: used };
}

/** The job must be under way before and after, else the figures are not those of training. */
async function whileTraining(served: Served, work: () => Promise<Phase>): Promise<Phase> {
  const request = { dataset_path: served.dataset, epochs: 1000, force: true };
  const { job_id } = await served.ask<{ job_id: string }>('POST', '/train/jsonl', request);
  const job = () => served.ask<JobAnswer>('GET', `/jobs/${job_id}`);
  const end = Date.now() + START_OF_TRAINING_MS;
  for (let now = await job(); now.state !== 'running' || now.progress?.phase !== 'train'; now = await job()) {
    if (now.state === 'failed' || Date.now() > end) throw new Error(`it does not train: ${JSON.stringify(now)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  const phase = await work();
  const last = await job();
  if (last.state !== 'running') throw new Error(`training ended before the load did: ${JSON.stringify(last)}`);
  await served.ask('POST', `/jobs/${job_id}/cancel`);
  return { ...phase, steps: last.progress?.done };
}

function print(phases: readonly Phase[]): void {
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  const rows = phases.flatMap(({ during, streams, cpu }) =>
    streams.map(({ name, sent, answers, p50, p99, p999, max, lateP99 }, i) => [
      ...[i === 0 ? during : '', i === 0 ? cpu.toFixed(2) : '', name, String(sent), errorsOf(answers)],
      ...[p50, p99, p999, max, lateP99].map(ms),
    ]),
  );
  const header = [
    '<beside',
    'cores',
    '<request',
    'sent',
    '<answers',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'max ms',
    'late p99',
  ];
  console.log(`\n${formatTable(header, rows)}`);
}

function errorsOf(answers: Record<string, number>): string {
  return Object.entries(answers)
    .map(([answer, count]) => `${count} × ${answer}`)
    .join(', ');
}

const question = { prompt: 'ROMEO:\n', max_new_tokens: 32, temperature: 0 };

function feedback(): object {
  const content = 'A small change to the weights of a model, as the product of two thin matrices. '.repeat(5);
  return {
    feedback_type: 'thumbs_up',
    request_data: { messages: [{ role: 'user', content: 'What is a LoRA adapter?' }], intent: 'explain' },
    response_data: { choices: [{ message: { role: 'assistant', content } }] },
  };
}

interface Options {
  seconds: number;
  /** Rows of feedback a second. */
  rate: number;
  /** Answers a second; 0: none. */
  generate: number;
  /** model.threads; undefined: its default. */
  threads: number | undefined;
  postgres: boolean;
}

function threadsOf(threads: number | undefined): Record<string, string> {
  return threads === undefined ? {} : { LORAKEET_MODEL_THREADS: String(threads) };
}

function parseOptions(args: readonly string[]): Options {
  const text = { type: 'string' } as const;
  const options = { seconds: text, rate: text, generate: text, threads: text, postgres: { type: 'boolean' } } as const;
  let values: { seconds?: string; rate?: string; generate?: string; threads?: string; postgres?: boolean };
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const number = (name: 'seconds' | 'rate' | 'generate' | 'threads', fallback: number, min: number, max: number) => {
    const value = Number(values[name] ?? fallback);
    if (!(value >= min && value <= max)) {
      throw new UsageError(`--${name}: got ${values[name]}, expected a number from ${min} to ${max}`);
    }
    return value;
  };
  return {
    seconds: number('seconds', 60, 1, 3600),
    rate: number('rate', 500, 1, 100_000),
    generate: number('generate', 1, 0, 1000),
    threads: values.threads === undefined ? undefined : number('threads', 1, 1, 1024),
    postgres: values.postgres === true,
  };
}
