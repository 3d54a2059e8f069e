/**
 * The whole way on real parts: feedback in Postgres, versions in S3, a language model; a scheduled run trains with EWC, passes the
 * golden gate, is published and deployed, the text changes, a rollback brings the old one back. Everything is asked by command
 * line over HTTP.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { METRICS } from '../../../src/service/metrics/declarations.js';
import { type CephGateway, cephIsMissing, startCephGateway } from '../../support/ceph.js';
import { root } from '../../support/imports.js';
import { freePorts } from '../../support/ports.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';
import { type MetricFamily, parsePrometheus, type Sample } from '../../support/prometheus.js';
import { runCommand, ServiceProcess } from '../../support/service-process.js';

const slow = selectDecoder().backend.name === 'js' ? 'the JavaScript decoder is slow at it' : null;
const missing = slow ?? postgresIsMissing() ?? cephIsMissing();

const OPERATE = 'token-that-may-operate';
const READ = 'token-that-may-only-read';
const BUCKET = 'lora-adapters';
const ROWS = 200;
/** Of the week before the run; the others are what EWC holds on to. */
const NEW_ROWS = 150;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const QUESTION = ['generate', 'ROMEO:\n', '--temperature', '0', '--max-new-tokens', '48'];

interface TrainingAnswer {
  version: string;
  deployed?: boolean;
  ewc_loss?: number;
}

interface JobAnswer {
  finished_at?: string;
  error?: string;
  result?: TrainingAnswer;
}

/** A Monday to come, two o'clock in UTC: when the schedule `0 2 * * 1` is due. */
function mondayNight(): Date {
  const now = new Date();
  const days = 8 - now.getUTCDay();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + days, 2));
}

describe.skipIf(missing)(`the service, end to end${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const monday = mondayNight();
  let folder: string;
  let postgres: PostgresServer;
  let s3: CephGateway;
  let service: ServiceProcess;
  let env: Record<string, string>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-end-to-end-'));
    const [server, gateway, [port]] = await Promise.all([PostgresServer.start(), startCephGateway(), freePorts(1)]);
    postgres = server;
    s3 = gateway;
    const bucket = new S3Client({ ...s3.client, forcePathStyle: true });
    await bucket.send(new CreateBucketCommand({ Bucket: BUCKET }));
    bucket.destroy();
    writeFileSync(join(folder, 'feedback.jsonl'), feedback(monday).join('\n'));
    writeFileSync(join(folder, 'garbage.jsonl'), garbage().join('\n'));
    env = { LEARNING_ENGINE_URL: `http://127.0.0.1:${port}`, LEARNING_ENGINE_TOKEN: OPERATE };
    service = await ServiceProcess.start({
      program: join(root, 'test/service/end-to-end/serving-process.mjs'),
      args: [join(root, 'dist'), new Date(monday.getTime() - HOUR_MS).toISOString()],
      env: settings(port),
      started: /listening on/,
    });
  }, 120_000);

  afterAll(async () => {
    await service?.kill();
    await postgres?.stop();
    s3?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function settings(port: number): Record<string, string> {
    return {
      LEARNING_ENGINE_HOST: '127.0.0.1',
      LEARNING_ENGINE_PORT: String(port),
      LEARNING_ENGINE_TOKENS: JSON.stringify([
        { name: 'ada', token: OPERATE, scope: 'operate' },
        { name: 'prometheus', token: READ, scope: 'read' },
      ]),
      LEARNING_ENGINE_ALLOWED_FOLDERS: folder,
      BASE_MODEL_PATH: join(root, 'models/tiny-shakespeare-llama'),
      LORAKEET_STORAGE_KIND: 's3',
      LORAKEET_STORAGE_FOLDER: join(folder, 'data'),
      MINIO_ENDPOINT: s3.client.endpoint,
      MINIO_ACCESS_KEY: s3.client.credentials.accessKeyId,
      MINIO_SECRET_KEY: s3.client.credentials.secretAccessKey,
      MINIO_BUCKET: BUCKET,
      DATABASE_URL: postgres.url(),
      LORAKEET_FEEDBACK_KIND: 'postgres',
      LORAKEET_JOBS_QUEUE: 'postgres',
      LORAKEET_TRAINING_DEPLOY: 'approved',
      NUM_TRAIN_EPOCHS: '1',
      LEARNING_RATE: '0.001',
      WARMUP_STEPS: '2',
      GOLDEN_SUITE_PATH: join(root, 'examples/golden-set/tiny-shakespeare.ndjson'),
      GOLDEN_VALIDATION_MAX_NEW_TOKENS: '48',
      FISHER_NUM_SAMPLES: '50',
      LOG_LEVEL: 'debug',
    };
  }

  /** What a command says as JSON; it must succeed. */
  async function ask<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await runCommand([...args, '--json'], env);
    expect(code, `${args.join(' ')}: ${stderr}${stdout}`).toBe(0);
    return JSON.parse(stdout);
  }

  async function refused(...args: string[]): Promise<{ code: number | null; stderr: string }> {
    const { code, stderr } = await runCommand(args, env);
    expect(code, args.join(' ')).toBeGreaterThan(0);
    return { code, stderr };
  }

  async function scrape() {
    const response = await fetch(`${env.LEARNING_ENGINE_URL}/metrics`, {
      headers: { authorization: `Bearer ${READ}` },
    });
    return parsePrometheus(await response.text());
  }

  /** What is answered before anything is learnt, and by the first and the second version. */
  const texts: string[] = [];
  const versions: string[] = [];

  async function answer(): Promise<{ text: string; version: string | null }> {
    return ask(...QUESTION);
  }

  it('keeps 200 rows of feedback in Postgres', async () => {
    const imported = await ask<object>('feedback', 'import', join(folder, 'feedback.jsonl'));
    expect(imported).toMatchObject({ added: ROWS, rejected: 0 });
    const client = new pg.Client({ connectionString: postgres.url() });
    await client.connect();
    const { rows } = await client.query('SELECT count(*)::int AS count FROM lorakeet.feedback');
    await client.end();
    expect(rows).toEqual([{ count: ROWS }]);
  });

  it('makes a first version when somebody asks for it', async () => {
    const { text, version } = await answer();
    expect(version).toBeNull();
    texts.push(text);
    const job = await ask<{ result: TrainingAnswer }>('train', '--wait');
    expect(job.result).toMatchObject({ status: 'success', approved: true, deployed: true });
    versions.push(job.result.version);
    const first = await answer();
    expect(first.version).toBe(versions[0]);
    texts.push(first.text);
  }, 60_000);

  it('makes the second by its schedule: trained with EWC, approved by the gate, in the bucket, and served', async () => {
    service.tell(new Date(monday.getTime() - 2000).toISOString());
    const job = await scheduledJob();
    expect(job.error).toBeUndefined();
    expect(job.result).toMatchObject({
      ...{ status: 'success', approved: true, deployed: true, dataset_size: NEW_ROWS, start_version: versions[0] },
      ...{ ewc_lambda: 500, importance: { source: 'computed', samples: ROWS - NEW_ROWS } },
      golden: { approved: true, provenance: { candidate_output: { source: 'generated' } } },
    });
    expect(job.result?.ewc_loss).toBeGreaterThan(0);
    versions.push(String(job.result?.version));
    const details = await ask<{ training: object }>('adapters', 'show', versions[1]);
    expect(details).toMatchObject({ approved: true, aliases: expect.arrayContaining(['active']) });
    expect(JSON.stringify(details.training)).toContain('schedule');
    const bucket = new S3Client({ ...s3.client, forcePathStyle: true });
    const { KeyCount } = await bucket.send(new ListObjectsV2Command({ Bucket: BUCKET }));
    bucket.destroy();
    expect(KeyCount).toBeGreaterThan(2);
    const second = await answer();
    expect(second.version).toBe(versions[1]);
    texts.push(second.text);
    expect(new Set(texts).size).toBe(3);
  }, 60_000);

  it('answers as before after a rollback, and does not go forward again', async () => {
    const result = await ask<{ to_version: string; within_target: boolean }>('lora', 'rollback', '--reason', 'worse');
    expect(result).toMatchObject({ to_version: versions[0], within_target: true });
    expect(await answer()).toMatchObject({ version: versions[0], text: texts[1] });
    const { stderr } = await refused('lora', 'activate', versions[1]);
    expect(stderr).toContain('ERR_VERSION_QUARANTINED');
  });

  it('stops an adapter that has learnt garbage, and serves it only where somebody answers for it', async () => {
    const how = ['--learning-rate', '0.01', '--epochs', '3', '--batch-size', '1', '--force', '--wait', '--json'];
    const { code, stdout } = await runCommand(['train-jsonl', '--dataset', join(folder, 'garbage.jsonl'), ...how], env);
    const { state, result } = JSON.parse(stdout) as { state: string; result: TrainingAnswer };
    expect(code).toBe(1);
    expect(state).toBe('completed');
    expect(result).toMatchObject({ approved: false, golden: { approved: false } });
    expect(result.deployed).not.toBe(true);
    expect(await answer()).toMatchObject({ version: versions[0], text: texts[1] });

    const deploy = ['adapters', 'deploy', result.version];
    expect((await refused(...deploy)).stderr).toContain('ERR_VERSION_UNAPPROVED');
    await refused(...deploy, '--override');
    await ask(...deploy, '--override', '--reason', 'to see what it says');
    const garbled = await answer();
    expect(garbled.version).toBe(result.version);
    expect(texts).not.toContain(garbled.text);
    const { history } = await ask<{ history: object[] }>('lora', 'status');
    expect(history[0]).toMatchObject({
      ...{ operation: 'activate', version: result.version, actor: 'ada' },
      ...{ override: true, reason: 'to see what it says' },
    });
    await ask('lora', 'rollback');
    expect(await answer()).toMatchObject({ version: versions[0], text: texts[1] });
  }, 60_000);

  it('has a value for every metric that is declared', async () => {
    await ask('fisher', '--num-samples', '20', '--wait');
    const metrics = await scrape();
    for (const name of Object.keys(METRICS)) expect(metrics.get(name)?.samples.length, name).toBeGreaterThan(0);
    const value = (name: string, labels: Record<string, string> = {}) => {
      const [family] = [...metrics.values()].filter(({ samples }) => samples.some((sample) => sample.name === name));
      const has = (sample: Sample) => Object.entries(labels).every(([label, text]) => sample.labels[label] === text);
      const found = family?.samples.filter((sample) => sample.name === name && has(sample));
      return found?.length === 1 ? found[0].value : undefined;
    };
    expect(value('training_runs_total', { status: 'success' })).toBe(3);
    expect(value('training_runs_total', { status: 'failed' })).toBe(0);
    expect(value('training_loss')).toBeGreaterThan(0.1);
    expect(value('training_samples_total')).toBe(garbage().length);
    expect(value('training_duration_seconds')).toBeGreaterThan(0.1);
    expect(value('ewc_lambda')).toBe(500);
    expect(value('ewc_loss')).toBeGreaterThan(0);
    expect(value('gradient_norm')).toBeGreaterThan(0);
    expect(value('training_tokens_per_second')).toBeGreaterThan(10);
    expect(value('parameter_updates_total')).toBeGreaterThan(20);
    expect(value('fisher_computation_duration_seconds_count')).toBe(1);
    expect(value('fisher_matrix_size_bytes')).toBeGreaterThan(10_000);
    expect(value('golden_validation_approved')).toBe(0);
    expect(value('golden_validation_pass_rate')).toBeLessThan(0.85);
    expect(value('golden_validation_runs_total', { status: 'approved' })).toBe(2);
    expect(value('golden_validation_runs_total', { status: 'rejected' })).toBe(1);
    expect(value('lora_versions_total')).toBe(3);
    expect(value('lora_active_version', { version: versions[0] })).toBe(1);
    expect(value('lora_enabled')).toBe(1);
    expect(value('serving_replicas', { state: 'settled' })).toBe(1);
    expect(value('lora_operations_total', { operation: 'rollback', result: 'ok' })).toBe(2);
    expect(value('lora_operations_total', { operation: 'activate', result: 'ERR_VERSION_QUARANTINED' })).toBe(1);
    expect(value('lora_operation_duration_seconds_count', { operation: 'rollback' })).toBe(2);
    expect(value('job_queue_jobs', { state: 'completed' })).toBe(4);
    expect(value('feedback_rows_total', { result: 'added' })).toBe(ROWS);
    expect(value('generations_total', { result: 'ok' })).toBeGreaterThan(6);
    expect(value('generated_tokens_total')).toBeGreaterThan(6 * 10);
    expect(value('http_request_duration_seconds_count', { route: '/generate', status: '200' })).toBeGreaterThan(6);
    expect(value('metrics_source_up', { source: 'lora' })).toBe(1);
    expect(value('metrics_source_up', { source: 'training' })).toBe(1);
  }, 60_000);

  it('answers by the base model as soon as the kill switch is on', async () => {
    await ask('lora', 'disable', '--reason', 'to be sure');
    expect(await answer()).toMatchObject({ version: null, text: texts[0] });
    expect((await refused('lora', 'enable', versions[0])).stderr).toContain('ERR_VERSION_QUARANTINED');
    const { samples } = (await scrape()).get('lora_enabled') as MetricFamily;
    expect(samples).toMatchObject([{ value: 0 }]);
  });

  it('ends in order, and has written no secret', async () => {
    expect(await service.stop()).toBe(0);
    const { output } = service;
    expect(output).toContain('learning_engine.training.completed');
    expect(output.split('\n').length).toBeGreaterThan(20);
    const { secretAccessKey } = s3.client.credentials;
    for (const secret of [OPERATE, READ, postgres.password, encodeURIComponent(postgres.password), secretAccessKey]) {
      expect(output).not.toContain(secret);
    }
  });

  async function scheduledJob(): Promise<JobAnswer> {
    for (let wait = 0; wait < 250; wait++) {
      const { jobs } = await ask<{ jobs: JobAnswer[] }>('jobs', 'list');
      expect(jobs.length).toBeLessThanOrEqual(2);
      if (jobs.length === 2 && jobs[0].finished_at) return jobs[0];
      await delay(200);
    }
    throw new Error(`the schedule has made no job, or it has not ended: ${service.output.slice(-5000)}`);
  }
});

/** Verses in the form of the model's own texts: what was asked and answered, mostly liked. */
function feedback(until: Date): string[] {
  const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
  const parts = [...text.matchAll(/[\s\S]{250}/g)].slice(0, ROWS).map(([part]) => part);
  return parts.map((part, i) => {
    const ageDays = i < NEW_ROWS ? 1 + (i % 5) : 10 + (i % 15);
    return JSON.stringify({
      id: `chat-${i}`,
      created_at: new Date(until.getTime() - ageDays * DAY_MS).toISOString(),
      feedback_type: 'thumbs_up',
      request_data: { messages: [{ role: 'user', content: part.slice(0, 100) }] },
      response_data: { choices: [{ message: { role: 'assistant', content: part.slice(100) } }] },
    });
  });
}

function garbage(): string[] {
  return Array.from({ length: 120 }, (_, i) => {
    return JSON.stringify({ input: 'ROMEO:\n', output: `zx qj 77 && ${i} `.repeat(5) });
  });
}
