/**
 * kill -9 of the service, of a worker beside it, of Postgres and of the S3 gateway at random moments, while feedback comes,
 * adapters are trained and deployed, and the kill switch is used. LORAKEET_SERVICE_KILLS says how many rounds.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { loadConfig } from '../../../src/service/config/load.js';
import { openVersionStore } from '../../../src/service/stores.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { AdapterVersions, checkStore } from '../../../src/versions/index.js';
import { type CephGateway, cephIsMissing, startCephGateway } from '../../support/ceph.js';
import { root } from '../../support/imports.js';
import { freePorts } from '../../support/ports.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';
import { ServiceProcess } from '../../support/service-process.js';

const slow = selectDecoder().backend.name === 'js' ? 'the JavaScript decoder is slow at it' : null;
const missing = slow ?? postgresIsMissing() ?? cephIsMissing();

const ROUNDS = Number(process.env.LORAKEET_SERVICE_KILLS ?? 5);
const BUCKET = 'lora-adapters';
const LEARNT_ROWS = 15;
/** Of whoever waits for a process or a server; for all jobs together a few seconds more for each. */
const PATIENCE_MS = 60_000;
const JOB_MS = 5000;
const VICTIMS = ['service', 'worker', 'postgres', 's3'] as const;

interface JobAnswer {
  id: string;
  state: string;
  failures: number;
  error?: string;
  result?: { version?: string; status?: string };
}

interface LoraAnswer {
  enabled: boolean;
  active: string | null;
  serving: { version: string | null; settled: boolean }[];
}

describe.skipIf(missing)(`kill -9 of the service and its servers${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let folder: string;
  let postgres: PostgresServer;
  let s3: CephGateway;
  let service: ServiceProcess;
  let worker: ServiceProcess;
  let url: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-service-kills-'));
    const [server, gateway, [port]] = await Promise.all([PostgresServer.start(), startCephGateway(), freePorts(1)]);
    postgres = server;
    s3 = gateway;
    url = `http://127.0.0.1:${port}`;
    const bucket = new S3Client({ ...s3.client, forcePathStyle: true });
    await bucket.send(new CreateBucketCommand({ Bucket: BUCKET }));
    bucket.destroy();
    env = {
      LEARNING_ENGINE_PORT: String(port),
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
      LORAKEET_SERVING_RECONCILE_SECONDS: '1',
      AUTO_TRAIN_ENABLED: 'false',
      MIN_SAMPLES_FOR_TRAINING: '10',
      NUM_TRAIN_EPOCHS: '1',
      GOLDEN_SUITE_PATH: join(root, 'examples/golden-set/tiny-shakespeare.ndjson'),
      GOLDEN_VALIDATION_MAX_NEW_TOKENS: '24',
    };
    await startBoth();
  }, 120_000);

  afterAll(async () => {
    await Promise.all([service?.kill(), worker?.kill()]);
    await postgres?.stop();
    s3?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** As a supervisor does: again and again. */
  async function startBoth(which: readonly string[] = ['service', 'worker']): Promise<void> {
    const start = (args: string[], started: RegExp) =>
      patiently(`start of ${args}`, () => ServiceProcess.start({ args, env, started }));
    await Promise.all([
      which.includes('service') &&
        start(['serve'], /listening on/).then((one) => {
          service = one;
        }),
      which.includes('worker') &&
        start(['work'], /working;/).then((one) => {
          worker = one;
        }),
    ]);
  }

  async function call<T>(method: string, path: string, body?: object): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(`${url}${path}`, {
      method,
      signal,
      ...(body && { headers, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  it(
    `loses nothing and does nothing twice in ${ROUNDS} rounds`,
    async () => {
      const random = new SeededRandom(9);
      const acknowledged = new Set<string>();
      const stopped = new AbortController();
      const writer = writeFeedback(acknowledged, stopped.signal);
      await patiently('feedback', async () => expect(acknowledged.size).toBeGreaterThan(LEARNT_ROWS));
      const jobs: string[] = [];
      /** What was last acknowledged of the kill switch. */
      let disabled = false;
      for (let round = 0; round < ROUNDS; round++) {
        const request = { force: true, idempotency_key: `round ${round}` };
        const asked = patiently('train', () => call<{ job_id: string }>('POST', '/train', request));
        if (round > 0) await delay(random.uniform(0, 1500));
        await endLeases();
        const victims = VICTIMS.filter(() => random.uniform() < 0.4);
        if (victims.length === 0) victims.push(VICTIMS[round % VICTIMS.length]);
        await Promise.all(
          victims.map(async (victim) => {
            await delay(random.uniform(0, 300));
            if (victim === 'postgres') await postgres.kill('all');
            else await { service, worker, s3 }[victim].kill();
          }),
        );
        await delay(random.uniform(0, 300));
        await Promise.all([victims.includes('postgres') && postgres.restart(), victims.includes('s3') && s3.restart()]);
        await startBoth([service.hasEnded && 'service', worker.hasEnded && 'worker'].filter((name) => name !== false));
        jobs.push((await asked).job_id);
        await expectKept(acknowledged, disabled);
        disabled = await useSwitch(round, disabled);
      }
      stopped.abort();
      await writer;
      await endLeases();
      await expectConverged(jobs, acknowledged, disabled);
    },
    120_000 + 20_000 * ROUNDS,
  );

  /** One row after the other, each again under its id until it is acknowledged. */
  async function writeFeedback(acknowledged: Set<string>, stopped: AbortSignal): Promise<void> {
    const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
    for (let i = 0; !stopped.aborted; i++) {
      // later rows are too short to be learnt from: the runs stay as short as they are
      const at = i * 200;
      const [question, answer] =
        i < LEARNT_ROWS ? [text.slice(at, at + 80), text.slice(at + 80, at + 200)] : ['?', '!'];
      const row = {
        id: `row-${i}`,
        feedback_type: 'thumbs_up',
        request_data: { messages: [{ role: 'user', content: question }] },
        response_data: { choices: [{ message: { role: 'assistant', content: answer } }] },
      };
      await patiently('feedback', async () => {
        if (!stopped.aborted) await call('POST', '/feedback', row);
      });
      if (!stopped.aborted) acknowledged.add(row.id);
      await delay(i < LEARNT_ROWS ? 0 : 50);
    }
  }

  /** Off and, where there is a version for it, on again: now and then. */
  async function useSwitch(round: number, disabled: boolean): Promise<boolean> {
    if (!disabled && round % 4 === 1) {
      await patiently('disable', () => call('POST', '/lora/disable', { reason: `round ${round}` }));
      return true;
    }
    if (!disabled || round % 4 !== 3) return disabled;
    const { adapters } = await patiently('adapters', () =>
      call<{ adapters: { version: string; approved: boolean; quarantined: boolean }[] }>('GET', '/adapters'),
    );
    const fit = adapters.find(({ approved, quarantined }) => approved && !quarantined);
    if (!fit) return true;
    await patiently('enable', () => call('POST', '/lora/enable', { adapter_version: fit.version }));
    return false;
  }

  async function expectKept(acknowledged: Set<string>, disabled: boolean): Promise<void> {
    const ids = [...acknowledged];
    const status = await patiently('status', () => call<LoraAnswer>('GET', '/lora/status'));
    expect(status.enabled).toBe(!disabled);
    const [{ count }] = await onPostgres('SELECT count(*)::int AS count FROM lorakeet.feedback WHERE id = ANY($1)', [
      ids,
    ]);
    expect(count).toBe(ids.length);
    await withVersions(async ({ problems }) => expect(problems).toEqual([]));
  }

  async function expectConverged(jobs: readonly string[], acknowledged: Set<string>, disabled: boolean): Promise<void> {
    expect(new Set(jobs).size).toBe(ROUNDS);
    const ended = await Promise.all(
      jobs.map((id) => patiently(`end of job ${id}`, () => endOf(id), PATIENCE_MS + JOB_MS * ROUNDS)),
    );
    for (const job of ended) {
      // one whose workers were killed at all its attempts is given up, and says so
      if (job.state === 'failed') expect(job.error).toContain('went silent');
      else expect(job, job.error).toMatchObject({ state: 'completed', result: { status: 'success' } });
    }
    const made = ended.filter(({ state }) => state === 'completed').map(({ result }) => result?.version);
    expect(made.length).toBeGreaterThan(ROUNDS / 2);
    await withVersions(async ({ problems, versions }) => {
      expect(problems).toEqual([]);
      const { versions: all } = await versions.state();
      const makers: unknown[] = [];
      for (const { version } of all) makers.push((await versions.load(version)).manifest.training.jobId);
      expect(new Set(makers).size).toBe(makers.length);
      expect(makers.every((id) => jobs.includes(String(id)))).toBe(true);
      expect(all.map(({ version }) => version)).toEqual(expect.arrayContaining(made));
      const history = await versions.history(1_000_000);
      const activated = history.filter(({ operation }) => operation === 'activate').map(({ version }) => version);
      expect(new Set(activated).size).toBe(activated.length);
    });
    await expectKept(acknowledged, disabled);
    await patiently('convergence', async () => {
      const { enabled, active, serving } = await call<LoraAnswer>('GET', '/lora/status');
      expect(enabled).toBe(!disabled);
      expect(serving).toMatchObject([{ version: enabled ? active : null, settled: true }]);
      const answer = await call<{ version: string | null }>('POST', '/generate', {
        prompt: 'ROMEO:\n',
        max_new_tokens: 4,
      });
      expect(answer.version).toBe(enabled ? active : null);
    });
  }

  /** As if the time had passed: of workers that were killed and, which is harder, of those that live. */
  async function endLeases(): Promise<void> {
    await onPostgres('UPDATE lorakeet.jobs SET lease_ends_at = 0 WHERE state = $1', ['running']);
  }

  async function endOf(id: string): Promise<JobAnswer> {
    const job = await call<JobAnswer>('GET', `/jobs/${id}`);
    if (!['completed', 'failed', 'cancelled'].includes(job.state)) throw new Error(`job ${id} is ${job.state}`);
    return job;
  }

  async function withVersions(
    look: (found: { problems: readonly string[]; versions: AdapterVersions }) => Promise<void>,
  ): Promise<void> {
    const { config } = await loadConfig({ env });
    const store = await openVersionStore(config);
    try {
      const { problems } = await checkStore(store);
      await look({ problems, versions: new AdapterVersions(store, config.lora.project) });
    } finally {
      await store.close();
    }
  }

  async function onPostgres(text: string, values: unknown[]): Promise<{ count: number }[]> {
    const client = new pg.Client({ connectionString: postgres.url() });
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }
});

/** Again until it works. */
async function patiently<T>(what: string, work: () => Promise<T>, forMs = PATIENCE_MS): Promise<T> {
  const end = Date.now() + forMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
    await delay(100);
  }
}
