/** The commands against a real service over HTTP, with the small real model. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/logger.js';
import { loadConfig, openLearningService, type ServedService, serve } from '../../src/service/index.js';
import { onlyJavaScript } from '../learning/decoder-speed.js';
import { root } from '../support/imports.js';
import { type RunOptions, run, runJson } from './run.js';

const OPERATE = 'operate-token-of-the-test';
const READ = 'read-token-of-the-test';
const MODEL = join(root, 'models/tiny-shakespeare-llama');
const SUITE = join(root, 'examples/golden-set/tiny-shakespeare.ndjson');
const skipped = onlyJavaScript ? ' (skipped: the JavaScript decoder is slow at it)' : '';
const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-cli-service-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The built program; resolves with its exit code when it has ended. */
function start(args: readonly string[], onOutput: (text: string, child: ReturnType<typeof spawn>) => void) {
  const child = spawn(process.execPath, [join(root, bin.lorakeet), ...args], { cwd: folder, stdio: 'pipe' });
  let output = '';
  const ended = new Promise<number | null>((done) => child.on('exit', done));
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
      onOutput(output, child);
    });
  }
  return { child, ended, output: () => output };
}

describe.skipIf(onlyJavaScript)(`lorakeet and its service${skipped}`, () => {
  let served: ServedService;
  let options: RunOptions;
  let storage: string;
  const call = (...args: string[]) => run(args, options);
  const callJson = <T = Record<string, unknown>>(...args: string[]) => runJson<T>(args, options);
  const fetched = async (path: string) =>
    (await fetch(`${served.url}${path}`, { headers: { authorization: `Bearer ${OPERATE}` } })).json();

  beforeAll(async () => {
    storage = join(folder, 'data');
    mkdirSync(join(folder, 'allowed'));
    const { config } = await loadConfig({
      env: {},
      overrides: {
        'service.host': '127.0.0.1',
        'service.port': 0,
        'service.tokens': [
          { name: 'ops', token: OPERATE, scope: 'operate' },
          { name: 'eye', token: READ, scope: 'read' },
        ],
        'service.allowedFolders': [join(folder, 'allowed')],
        'model.folder': MODEL,
        'storage.folder': storage,
        'golden.suite': SUITE,
        'golden.maxNewTokens': 16,
        'lora.rank': 2,
        'training.minimumSamples': 2,
        'training.epochs': 1,
        'training.learningRate': 0.01,
        'training.accumulation': 1,
        'training.warmupSteps': 0,
      },
    });
    const service = await openLearningService(config, { logger: silentLogger });
    served = await serve(service, config, { logger: silentLogger, signals: false });
    options = { env: { LEARNING_ENGINE_URL: served.url, LEARNING_ENGINE_TOKEN: OPERATE } };
  });
  afterAll(() => served?.close());

  it('health, metrics: as the service answers, in lines and as JSON', async () => {
    const health = await callJson<{ status: string; components: object }>('health');
    expect(health).toMatchObject({
      code: 0,
      stderr: '',
      json: { status: 'healthy', components: { model: { status: 'ok' } } },
    });
    expect((await call('health')).stdout).toMatch(/^status +healthy\n[\s\S]*\nmodel +ok /);
    const metrics = await callJson<{ metrics: { name: string; type: string; samples: object[] }[] }>('metrics');
    const process = metrics.json.metrics.find(({ name }) => name === 'process_start_time_seconds');
    expect(process).toMatchObject({ type: 'gauge', samples: [{ labels: {}, value: expect.any(Number) }] });
    expect((await call('metrics')).stdout).toContain('# TYPE process_start_time_seconds gauge\n');
  });

  it('feedback: in one by one and as a file, once each, and out as it came', async () => {
    const one = [
      'feedback',
      'add',
      '--type',
      'thumbs_up',
      '--prompt',
      'Who goes there, my friend?',
      '--answer',
      'It is I, the king of Rome.',
    ];
    expect((await callJson(...one, '--id', 'a', '--intent', 'greet')).json).toEqual({ ids: ['a'], added: 1 });
    expect((await callJson(...one, '--id', 'a')).json).toEqual({ ids: ['a'], added: 0 });
    expect(await call(...one, '--id', 'b', '--expected', 'x'.repeat(2_000_000))).toMatchObject({ code: 2 });

    // more than one request holds, and a line that is wrong
    const request = { messages: [{ role: 'user', content: 'What news is there of the battle?' }] };
    const response = { choices: [{ message: { role: 'assistant', content: `The battle is won. ${'x'.repeat(60)}` } }] };
    const rows = Array.from({ length: 60 }, (_, i) => {
      const note = 'x'.repeat(20_000);
      const times = { created_at: `2026-01-01T00:00:${String(i).padStart(2, '0')}.000Z` };
      return JSON.stringify({
        ...times,
        feedback_type: 'thumbs_up',
        request_data: { ...request, note },
        response_data: response,
      });
    });
    const file = join(folder, 'rows.jsonl');
    writeFileSync(file, `${rows.join('\n')}\n{"feedback_type":"thumbs up"}\n`);
    const imported = await callJson('feedback', 'import', file);
    expect(imported).toMatchObject({ code: 1, json: { lines: 61, added: 60, rejected: 1, errors: [{ line: 61 }] } });
    expect((await callJson('feedback', 'import', file)).json).toMatchObject({ added: 0, duplicates: 60 });
    expect((await callJson('feedback', 'count')).json).toMatchObject({
      total: 61,
      by_intent: { greet: 1, unknown: 60 },
    });
    expect((await callJson('feedback', 'count', '--days', '1')).json).toMatchObject({ total: 1 });

    const { stdout } = await call('feedback', 'export');
    const exported = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(exported.map(({ id }) => id).at(-1)).toBe('a');
    expect(exported.slice(0, 60)).toEqual(rows.map((row) => expect.objectContaining(JSON.parse(row))));
  });

  it('train: too little is no failure, enough is a version; a key makes one job', async () => {
    const few = await callJson<{ result: object }>('train', '--days', '1', '--wait');
    expect(few).toMatchObject({ code: 0, json: { state: 'completed', result: { status: 'skipped' } } });
    const key = ['--idempotency-key', 'once'];
    const first = await callJson<{ id: string }>('train', '--days', '1', '--force', ...key, '--wait');
    expect(first).toMatchObject({
      code: 0,
      json: { state: 'completed', result: { status: 'success', version: 'v1.0', approved: true } },
    });
    expect((await callJson('train', '--days', '1', ...key)).json.id).toBe(first.json.id);
    expect(first.json).toEqual(await fetched(`/jobs/${first.json.id}`));
    const status = await callJson('status');
    expect(status.json).toMatchObject({ is_training: false, last_run: { status: 'success', version: 'v1.0' } });
    expect((await call('status')).stdout).toMatch(/^training +no\n[\s\S]*version +v1\.0/);
  });

  it('train-jsonl: a file that the service may read, as a job that is waited for later', async () => {
    const lines = ['Speak.', 'Be gone.'].map((input) => JSON.stringify({ input, output: 'I will, my lord.' }));
    writeFileSync(join(folder, 'allowed/train.jsonl'), lines.join('\n'));
    writeFileSync(join(folder, 'elsewhere.jsonl'), lines.join('\n'));
    const outside = await call('train-jsonl', '--dataset', join(folder, 'elsewhere.jsonl'));
    expect(outside).toMatchObject({ code: 2, stderr: expect.stringContaining('ERR_PATH_NOT_ALLOWED') });
    const started = await call(
      'train-jsonl',
      '--dataset',
      join(folder, 'allowed/train.jsonl'),
      '--epochs',
      '1',
      '--force',
    );
    expect(started.code).toBe(0);
    const [, id] = /lorakeet jobs wait (\S+)\n/.exec(started.stderr) ?? [];
    expect(await callJson('jobs', 'wait', id)).toMatchObject({ code: 0, json: { result: { version: 'v1.1' } } });
  });

  it('fisher: a job, too', async () => {
    const ran = await callJson('fisher', '--adapter', 'v1.0', '--num-samples', '4', '--wait');
    expect(ran).toMatchObject({ code: 0, json: { result: { status: 'success', adapter_version: 'v1.0' } } });
    expect(await call('fisher', '--adapter', 'v9.0')).toMatchObject({ code: 6 });
  });

  it('jobs: a page at a time, one, none; what has ended is not cancelled', async () => {
    const page = await callJson<{ jobs: { id: string }[]; next: number }>('jobs', 'list', '--limit', '1');
    expect(page.json).toEqual(await fetched('/jobs?limit=1'));
    const next = await callJson<{ jobs: { id: string }[] }>('jobs', 'list', '--before', String(page.json.next));
    expect(next.json.jobs).toHaveLength(3);
    expect((await callJson('jobs', 'list', '--state', 'failed', 'queued')).json).toMatchObject({ jobs: [] });
    expect((await call('jobs', 'list')).stdout).toMatch(/^job +kind +state/);
    const { id } = page.json.jobs[0];
    expect((await call('jobs', 'show', id)).stdout).toMatch(/^job +.*\nkind +fisher\nstate +completed\n/);
    expect(await call('jobs', 'cancel', id)).toMatchObject({ code: 5 });
    for (const command of ['show', 'cancel', 'wait']) expect((await call('jobs', command, 'none')).code).toBe(6);
  });

  it('adapters: all, one, none, also by the names of the original system', async () => {
    const all = await callJson<{ total: number }>('adapters', 'list');
    expect(all.json).toEqual(await fetched('/adapters'));
    expect(all.json.total).toBe(2);
    expect((await callJson('list-adapters')).json).toEqual(all.json);
    const one = await callJson('adapters', 'show', 'v1.0');
    expect(one.json).toEqual(await fetched('/adapters/v1.0'));
    expect((await callJson('adapter-info', 'v1.0')).json).toEqual(one.json);
    expect((await call('adapters', 'list')).stdout).toMatch(/^version +created .*\nv1\.1 .*\nv1\.0 /);
    expect((await call('adapters', 'show', 'v1.0')).stdout).toMatch(/adapter_model\.safetensors/);
    expect(await call('adapters', 'show', 'v9.9')).toMatchObject({ code: 6, stdout: '' });
  });

  it('generate: as it is written, as JSON, from standard input', async () => {
    const greedy = ['--temperature', '0', '--max-new-tokens', '8'];
    const streamed = await call('generate', 'ROMEO:\n', ...greedy);
    const whole = await callJson<{ text: string }>('generate', 'ROMEO:\n', ...greedy);
    expect(whole.json).toMatchObject({ version: null, completion_tokens: 8, finish_reason: 'length' });
    expect(streamed).toMatchObject({
      code: 0,
      stdout: `${whole.json.text}\n`,
      stderr: '(base model, 8 tokens, length)\n',
    });
    const piped = await run(['generate', '-', ...greedy], { ...options, stdin: 'ROMEO:\n' });
    expect(piped.stdout).toBe(streamed.stdout);
    const long = await call('generate', 'word '.repeat(3000));
    expect(long).toMatchObject({ code: 2, stderr: expect.stringContaining('ERR_CONTEXT_FULL') });
  });

  it('lora: what is served follows, and so does what is answered', async () => {
    const answer = async () =>
      (
        await callJson<{ text: string; version: string | null }>(
          'generate',
          'Who goes there?',
          '--temperature',
          '0',
          '--max-new-tokens',
          '12',
        )
      ).json;
    const base = await answer();
    expect(await callJson('adapters', 'deploy', 'v1.0')).toMatchObject({
      code: 0,
      json: { from_version: null, to_version: 'v1.0' },
    });
    const tuned = await answer();
    expect(tuned.version).toBe('v1.0');
    expect(tuned.text).not.toBe(base.text);
    expect(await call('deploy', 'v1.1', '--expect', 'none')).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('ERR_VERSION_CONFLICT'),
    });
    expect((await callJson('lora', 'promote', 'v1.0')).json).toMatchObject({ known_good: 'v1.0' });
    expect(await call('lora', 'activate', 'v1.1', '--reason', 'try')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^v1\.0 → v1\.1 in /),
    });
    expect((await callJson('lora', 'rollback', '--reason', 'worse')).json).toMatchObject({
      from_version: 'v1.1',
      to_version: 'v1.0',
    });
    expect(await answer()).toEqual(tuned);
    expect(await call('lora', 'activate', 'v1.1')).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('QUARANTINED'),
    });
    expect((await callJson('lora', 'disable')).json).toMatchObject({ to_version: null, status: { enabled: false } });
    expect(await answer()).toEqual(base);
    expect(await call('lora', 'activate', 'v1.1')).toMatchObject({ code: 5 });
    const status = await callJson('lora', 'status');
    expect(status.json).toEqual(await fetched('/lora/status'));
    expect((await call('lora', 'status')).stdout).toMatch(/^enabled +no\n[\s\S]*rollback +v1\.1 +v1\.0 +ops +worse/);
    expect(await call('lora', 'enable', 'v9.9')).toMatchObject({ code: 6 });
  });

  it('validate: the verdict of the service is the exit code', async () => {
    const good = await callJson('validate', '--adapter', 'v1.0');
    expect(good).toMatchObject({
      code: 0,
      json: { approved: true, provenance: { candidate_output: { source: 'generated' } } },
    });
    const path = join(folder, 'allowed/answers.json');
    const ids = readFileSync(SUITE, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id);
    writeFileSync(path, JSON.stringify(Object.fromEntries(ids.map((id) => [id, '9 9 9']))));
    const bad = await callJson('validate', '--remote', '--candidate-output', path);
    expect(bad).toMatchObject({
      code: 1,
      json: { approved: false, provenance: { candidate_output: { source: 'file' } } },
    });
    expect(await call('validate', '--adapter', 'v9.9')).toMatchObject({ code: 6 });
  });

  it('tokens: none, a wrong one, one that may only look', async () => {
    const as = (token?: string) => ({
      env: { LEARNING_ENGINE_URL: served.url, ...(token && { LEARNING_ENGINE_TOKEN: token }) },
    });
    expect((await run(['lora', 'status'], as())).code).toBe(4);
    expect((await run(['lora', 'status'], as('a-token-that-is-none'))).code).toBe(4);
    expect((await run(['lora', 'status'], as(READ))).code).toBe(0);
    const changed = await run(['lora', 'disable'], as(READ));
    expect(changed).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('ERR_FORBIDDEN') });
  });

  it('export: what was trained leaves the store while the service runs', async () => {
    const output = join(folder, 'exported');
    const ran = await runJson(['export', 'v1.0', '--output', output, '--set', `storage.folder=${storage}`]);
    expect(ran).toMatchObject({ code: 0, json: { version: 'v1.0', output } });
    expect(JSON.parse(readFileSync(join(output, 'adapter_config.json'), 'utf8'))).toMatchObject({ peft_type: 'LORA' });
  });
});

describe('lorakeet serve', () => {
  it('answers until it is told to end, and keeps what it was told', async () => {
    const settings = ['schedule.enabled=false', 'logging.format=text'];
    const args = ['serve', '--port', '0', '--storage', join(folder, 'served'), '--set', ...settings];
    let ready = (_url: string) => {};
    const url = new Promise<string>((done) => {
      ready = done;
    });
    const { child, ended, output } = start(args, (text) => {
      const [, address] = /listening on (\S+?),/.exec(text) ?? [];
      if (address) ready(address);
    });
    const env = { LEARNING_ENGINE_URL: (await Promise.race([url, ended])) as string };
    const add = ['feedback', 'add', '--type', 'thumbs_up', '--prompt', 'p', '--answer', 'a', '--id', 'kept'];
    expect((await runJson(add, { env })).json).toEqual({ ids: ['kept'], added: 1 });
    child.kill('SIGTERM');
    expect(await ended, output()).toBe(0);
    const count = ['feedback', 'count', '--set', `storage.folder=${join(folder, 'served')}`];
    expect((await runJson(count)).json).toMatchObject({ total: 1 });
  });

  it('refuses what it cannot be', async () => {
    const failed = start(['serve', '--host', '0.0.0.0'], () => {});
    expect([await failed.ended, failed.output()]).toEqual([
      2,
      expect.stringMatching(/^lorakeet: service.host .*loopback.*\n$/),
    ]);
    const backend = start(['serve', '--backend', 'tpu'], () => {});
    expect([await backend.ended, backend.output()]).toEqual([2, expect.stringContaining('model.backend')]);
  });
});

describe.skipIf(onlyJavaScript)(`lorakeet work${skipped}`, () => {
  it('does the jobs of a service that has no worker, and ends when told', async () => {
    const storage = join(folder, 'shared');
    const settings = {
      'model.folder': MODEL,
      'storage.folder': storage,
      'training.minimumSamples': 1,
      'golden.enabled': false,
    };
    const quick = { 'lora.rank': 2, 'training.epochs': 1, 'golden.required': false };
    const overrides = { 'service.port': 0, 'jobs.worker': false, 'schedule.enabled': false, ...settings, ...quick };
    const { config } = await loadConfig({ env: {}, overrides });
    const service = await openLearningService(config, { logger: silentLogger });
    const served = await serve(service, config, { logger: silentLogger, signals: false });
    const env = { LEARNING_ENGINE_URL: served.url };
    const set = Object.entries({ ...settings, ...quick, 'logging.format': 'text' }).map(
      ([key, value]) => `${key}=${value}`,
    );
    const worker = start(['work', '--set', ...set], () => {});
    try {
      const add = [
        'feedback',
        'add',
        '--type',
        'thumbs_up',
        '--prompt',
        'Who goes there, friend?',
        '--answer',
        'It is I, the watch.',
      ];
      await run(add, { env });
      const job = await runJson(['train', '--force', '--wait'], { env, signal: AbortSignal.timeout(50_000) });
      expect(job, worker.output()).toMatchObject({
        code: 0,
        json: { state: 'completed', result: { version: 'v1.0' } },
      });
    } finally {
      worker.child.kill('SIGTERM');
      expect(await worker.ended, worker.output()).toBe(0);
      await served.close();
    }
  });
});
