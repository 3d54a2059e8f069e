import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import type {
  LastRun,
  LearningService,
  LoraStatus,
  TrainingResult,
  TrainingStatus,
} from '../../../src/service/engine/operations.js';
import type { GoldenReport } from '../../../src/service/golden/gate.js';
import type { Job } from '../../../src/service/jobs/job.js';
import { METRICS } from '../../../src/service/metrics/declarations.js';
import type { MetricSource } from '../../../src/service/metrics/metric-page.js';
import { openServiceMetrics, type ServiceMetricsOptions } from '../../../src/service/metrics/service-metrics.js';
import { parsePrometheus } from '../../support/prometheus.js';

const report = (validatedAt: string, passRate: number) =>
  ({
    approved: passRate === 1,
    candidateSummary: { total: 4, passed: 4 * passRate, failed: 4 - 4 * passRate, passRate, meanScore: passRate },
    comparison: { regressedCases: passRate === 1 ? [] : ['a'], unsafeCases: [] },
    provenance: { validatedAt },
  }) as unknown as GoldenReport;

const success = (version: string, finalLoss: number): TrainingResult & LastRun => ({
  jobId: 'job-1',
  finishedAt: '2026-01-01T00:00:00.000Z',
  status: 'success',
  version,
  datasetId: 'feedback_7d',
  datasetSize: 120,
  decision: { force: false, enoughSamples: true, train: true, minimumSamples: 100 },
  finalLoss,
  ewcLambda: 500,
  durationSeconds: 3.5,
  steps: 40,
  golden: report('2026-01-01T00:00:00.000Z', 1),
});

const idle: TrainingStatus = {
  isTraining: false,
  currentJob: undefined,
  lastJob: undefined,
  lastRun: undefined,
  queue: { queued: 1, running: 0, completed: 3, failed: 0, cancelled: 0 },
  schedules: [],
};

const lora: LoraStatus = {
  enabled: true,
  active: 'v1.1',
  previous: 'v1.0',
  knownGood: null,
  quarantined: ['v1.0'],
  versionCount: 2,
  sequence: 5,
  serving: [
    { target: 'a', version: 'v1.1', settled: true },
    { target: 'b', version: null, settled: false, error: 'ECONNREFUSED' },
  ],
  history: [],
};

const source: MetricSource = {
  loraStatus: async () => lora,
  trainingStatus: async () => idle,
  jobs: async () => ({ jobs: [], next: undefined }),
};

async function open(changed: Partial<MetricSource> = {}, more: Partial<ServiceMetricsOptions> = {}) {
  const service = { ...source, ...changed } as LearningService;
  const opened = await openServiceMetrics({ model: 'tiny', logger: silentLogger, ...more });
  const metrics = { ...opened, text: () => opened.text(service) };
  const samples = async (name: string) => parsePrometheus(await metrics.text()).get(name)?.samples ?? [];
  const value = async (name: string) => (await samples(name))[0]?.value;
  return { metrics, samples, value };
}

describe('metrics of the service', () => {
  it('has a sample for every metric that is declared, once everything has happened', async () => {
    const { metrics } = await open({ trainingStatus: async () => ({ ...idle, lastRun: success('v1.1', 0.25) }) });
    metrics.trainingProgress({ phase: 'train', done: 1, total: 40, ewcLoss: 0.1, gradNorm: 2, tokensPerSecond: 900 });
    metrics.trainingFinished({ kind: 'train', status: 'success', result: success('v1.1', 0.25) });
    metrics.fisherFinished({ version: 'v1.1', samples: 10, parameters: 100, sizeBytes: 400, durationSeconds: 2 });
    metrics.loraFinished({ operation: 'rollback', durationMs: 700 });
    metrics.feedbackAppended({ received: 3, added: 2 });
    metrics.generationFinished(
      { text: 'x', version: null, finishReason: 'stop', promptTokens: 2, completionTokens: 7 },
      80,
    );
    metrics.requestFinished({ method: 'GET', route: '/jobs/:id', status: 404, durationMs: 3 });
    const families = parsePrometheus(await metrics.text());
    for (const [name, { kind }] of Object.entries(METRICS)) {
      expect(families.get(name)?.kind, name).toBe(kind);
      expect(families.get(name)?.samples.length, name).toBeGreaterThan(0);
    }
    const value = (name: string, labels: object) => {
      const all = [...families.values()].flatMap((family) => family.samples);
      return all.find((one) => one.name === name && JSON.stringify(one.labels) === JSON.stringify(labels))?.value;
    };
    const model = 'tiny';
    const version_id = 'v1.1';
    expect(value('training_loss', { model, version_id })).toBe(0.25);
    expect(value('training_duration_seconds', { model, version_id })).toBe(3.5);
    expect(value('training_samples_total', { model, version_id })).toBe(120);
    expect(value('ewc_lambda', { model, version_id })).toBe(500);
    expect(value('ewc_loss', { model })).toBe(0.1);
    expect(value('gradient_norm', { model })).toBe(2);
    expect(value('training_runs_total', { model, status: 'success' })).toBe(1);
    expect(value('training_runs_total', { model, status: 'failed' })).toBe(0);
    expect(value('parameter_updates_total', { model })).toBe(40);
    expect(value('fisher_computation_duration_seconds_sum', { model })).toBe(2);
    expect(value('golden_validation_approved', { model, version_id })).toBe(1);
    expect(value('lora_versions_total', { model })).toBe(2);
    expect(value('lora_quarantined_versions', { model })).toBe(1);
    expect(value('lora_active_version', { model, version: 'v1.1' })).toBe(1);
    expect(value('lora_enabled', { model })).toBe(1);
    expect(value('serving_replicas', { model, state: 'unsettled' })).toBe(1);
    expect(value('lora_operation_duration_seconds_sum', { operation: 'rollback' })).toBe(0.7);
    expect(value('job_queue_jobs', { state: 'completed' })).toBe(3);
    expect(value('feedback_rows_total', { result: 'added' })).toBe(2);
    expect(value('feedback_rows_total', { result: 'duplicate' })).toBe(1);
    expect(value('generated_tokens_total', {})).toBe(7);
    const request = { method: 'GET', route: '/jobs/:id', status: '404' };
    expect(value('http_request_duration_seconds_count', request)).toBe(1);
    expect(value('metrics_source_up', { source: 'lora' })).toBe(1);
    expect(value('process_resident_memory_bytes', {})).toBeGreaterThan(1e6);
  });

  it('says nothing of what has not happened', async () => {
    const { samples } = await open();
    for (const name of ['training_loss', 'ewc_loss', 'golden_validation_pass_rate', 'fisher_matrix_size_bytes']) {
      expect(await samples(name), name).toEqual([]);
    }
  });

  it('knows the last run that made a version also after a restart, and where later ones were skipped', async () => {
    const done = (kind: string, result: object) => ({ payload: { kind }, result }) as unknown as Job;
    const jobs = [
      done('train', { status: 'skipped' }),
      done('fisher', { status: 'success' }),
      done('train-jsonl', success('v1.1', 0.5)),
      done('train', success('v1.0', 0.9)),
    ];
    let asked = 0;
    const jobsBefore = async () => {
      asked++;
      return { jobs, next: undefined };
    };
    const lastRun: LastRun = { jobId: 'job-2', finishedAt: '2026-01-02T00:00:00.000Z', status: 'skipped' };
    const { samples } = await open({ jobs: jobsBefore, trainingStatus: async () => ({ ...idle, lastRun }) });
    const labels = { model: 'tiny', version_id: 'v1.1' };
    expect(await samples('training_loss')).toEqual([{ name: 'training_loss', labels, value: 0.5 }]);
    await samples('training_loss');
    expect(asked).toBe(1);
    Object.assign(lastRun, success('v1.2', 0.125));
    expect(await samples('training_loss')).toMatchObject([{ labels: { version_id: 'v1.2' }, value: 0.125 }]);
    Object.assign(lastRun, { status: 'skipped', finalLoss: undefined });
    expect((await samples('training_loss')).length).toBeLessThan(2);
  });

  it('shows the progress of a run of another process', async () => {
    const progress = { phase: 'train', done: 3, total: 9, gradNorm: 1.5, ewcLoss: 0.2 };
    const currentJob = { progress } as unknown as Job;
    const { value } = await open({ trainingStatus: async () => ({ ...idle, isTraining: true, currentJob }) });
    expect(await value('gradient_norm')).toBe(1.5);
    expect(await value('ewc_loss')).toBe(0.2);
  });

  it('shows the latest validation, and one version only', async () => {
    const lastRun = success('v1.1', 0.5);
    const { metrics, samples } = await open({ trainingStatus: async () => ({ ...idle, lastRun }) });
    metrics.validationFinished(report('2026-01-02T00:00:00.000Z', 0.5), 'v1.0');
    metrics.validationFinished(report('2025-12-31T00:00:00.000Z', 0.25), undefined);
    expect(await samples('golden_validation_pass_rate')).toMatchObject([
      { labels: { version_id: 'v1.0' }, value: 0.5 },
    ]);
    expect(await samples('golden_validation_approved')).toMatchObject([{ value: 0 }]);
    expect(await samples('golden_validation_runs_total')).toMatchObject([{ value: 0 }, { value: 2 }]);
  });

  it('says that no version is served where none is', async () => {
    const { samples, value } = await open({ loraStatus: async () => ({ ...lora, enabled: false }) });
    expect(await value('lora_enabled')).toBe(0);
    expect(await samples('lora_active_version')).toMatchObject([{ labels: { version: 'none' }, value: 1 }]);
  });

  it.each([
    ['fails', () => Promise.reject(new Error('connect ECONNREFUSED'))],
    ['does not answer', () => new Promise<never>(() => {})],
  ])('leaves out what cannot be read where the store %s, says so, and shows the rest', async (_, loraStatus) => {
    let fails = false;
    const { samples, value } = await open(
      { loraStatus: () => (fails ? loraStatus() : source.loraStatus()) },
      { timeoutMs: 20 },
    );
    expect(await value('lora_versions_total')).toBe(2);
    fails = true;
    expect(await samples('lora_versions_total')).toEqual([]);
    expect(await samples('lora_enabled')).toEqual([]);
    expect(await samples('serving_replicas')).toEqual([]);
    expect(await value('job_queue_jobs')).toBe(1);
    const up = (await samples('metrics_source_up')).map(({ labels, value: one }) => [labels.source, one]);
    expect(Object.fromEntries(up)).toEqual({ lora: 0, training: 1 });
  });

  it('says what is missing where there is no prom-client, and counts nothing', async () => {
    const { metrics } = await open({}, { load: () => Promise.reject(new Error('Cannot find package')) });
    metrics.feedbackAppended({ received: 1, added: 1 });
    await expect(metrics.text()).rejects.toMatchObject({
      code: 'ERR_PACKAGE_MISSING',
      message: expect.stringContaining('npm install prom-client'),
    });
  });
});
