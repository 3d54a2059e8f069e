/** The gauges of the service: set anew, from what the stores say, whenever the page is asked for. */
import type { Gauge } from 'prom-client';
import type { Logger } from '../../logger.js';
import type { JobProgress, LearningService, LoraStatus, TrainingResult, TrainingStatus } from '../engine/operations.js';
import type { GoldenReport } from '../golden/gate.js';
import type { Job } from '../jobs/job.js';
import type { Instruments } from './instruments.js';

/** What knows what is true now, whichever process made it so: asked when the page is, so that a restart forgets nothing. */
export type MetricSource = Pick<LearningService, 'loraStatus' | 'trainingStatus' | 'jobs'>;

export interface MetricPageOptions {
  /** Label of what is about the model. */
  model: string;
  logger: Logger;
  /** How long the page waits for a source; default 5000. */
  timeoutMs?: number;
}

type OfVersion = Gauge<'model' | 'version_id'>;

/** The gauges, set anew whenever the page is asked for. */
export class MetricPage {
  readonly #to: Instruments;
  readonly #options: MetricPageOptions;
  readonly #model: { model: string };
  #lastSuccess: Partial<Omit<TrainingResult, 'status'>> | undefined;
  /** Whether jobs of before this process have been looked through. */
  #looked = false;
  #lastValidation: { report: GoldenReport; version: string | undefined } | undefined;

  constructor(to: Instruments, options: MetricPageOptions) {
    this.#to = to;
    this.#options = options;
    this.#model = { model: options.model };
  }

  stepDone({ ewcLoss, gradNorm, tokensPerSecond }: Partial<JobProgress>): void {
    const { ewc_loss, gradient_norm, training_tokens_per_second } = this.#to;
    if (ewcLoss !== undefined) ewc_loss.set(this.#model, ewcLoss);
    if (gradNorm !== undefined) gradient_norm.set(this.#model, gradNorm);
    if (tokensPerSecond !== undefined) training_tokens_per_second.set(this.#model, tokensPerSecond);
  }

  /** The latest counts, whoever it was told by. */
  validated(report: GoldenReport, version: string | undefined): void {
    const known = this.#lastValidation?.report.provenance.validatedAt ?? '';
    if (report.provenance.validatedAt <= known) return;
    this.#lastValidation = { report, version };
    const labels = { ...this.#model, version_id: version ?? 'none' };
    const { candidateSummary, comparison, approved } = report;
    set(this.#to.golden_validation_pass_rate, labels, candidateSummary.passRate);
    set(this.#to.golden_validation_mean_score, labels, candidateSummary.meanScore);
    set(this.#to.golden_validation_regressions, labels, comparison.regressedCases.length);
    set(this.#to.golden_validation_unsafe_cases, labels, comparison.unsafeCases.length);
    set(this.#to.golden_validation_approved, labels, Number(approved));
  }

  /** Never rejects: what cannot be read is left out, and metrics_source_up says so. */
  async refresh(service: MetricSource): Promise<void> {
    await Promise.all([
      this.#ask('lora', service.loraStatus(), (status) => this.#showLora(status)),
      this.#ask('training', this.#trainingStatus(service), (status) => this.#showTraining(status)),
    ]);
  }

  async #ask<T>(source: string, asked: Promise<T>, show: (answer: T | undefined) => void): Promise<void> {
    let answer: T | undefined;
    try {
      answer = await within(this.#options.timeoutMs ?? 5000, asked);
    } catch (error) {
      this.#options.logger.warn(`metrics: ${source}: ${(error as Error).message}`);
    }
    this.#to.metrics_source_up.set({ source }, Number(answer !== undefined));
    show(answer);
  }

  #showLora(status: LoraStatus | undefined): void {
    const { lora_versions_total, lora_quarantined_versions, lora_active_version, lora_enabled } = this.#to;
    const { serving_replicas } = this.#to;
    const of = [lora_versions_total, lora_quarantined_versions, lora_active_version, lora_enabled, serving_replicas];
    for (const one of of) one.reset();
    if (!status) return;
    const { enabled, active, versionCount, quarantined, serving } = status;
    lora_versions_total.set(this.#model, versionCount);
    lora_quarantined_versions.set(this.#model, quarantined.length);
    lora_enabled.set(this.#model, Number(enabled));
    lora_active_version.set({ ...this.#model, version: (enabled && active) || 'none' }, 1);
    const settled = serving.filter((report) => report.settled).length;
    serving_replicas.set({ ...this.#model, state: 'settled' }, settled);
    serving_replicas.set({ ...this.#model, state: 'unsettled' }, serving.length - settled);
  }

  async #trainingStatus(service: MetricSource): Promise<TrainingStatus> {
    const status = await service.trainingStatus();
    if (status.lastRun?.status === 'success') this.#lastSuccess = status.lastRun;
    else if (!this.#lastSuccess && !this.#looked) {
      this.#lastSuccess = (await service.jobs({ states: ['completed'] })).jobs.map(successOf).find(Boolean);
    }
    this.#looked = true;
    return status;
  }

  #showTraining(status: TrainingStatus | undefined): void {
    this.#to.job_queue_jobs.reset();
    if (!status) return;
    for (const [state, count] of Object.entries(status.queue)) this.#to.job_queue_jobs.set({ state }, count);
    const run = this.#lastSuccess;
    if (run) {
      const labels = { ...this.#model, version_id: run.version ?? 'none' };
      set(this.#to.training_loss, labels, run.finalLoss);
      set(this.#to.training_duration_seconds, labels, run.durationSeconds);
      set(this.#to.training_samples_total, labels, run.datasetSize);
      set(this.#to.ewc_lambda, labels, run.ewcLambda);
      if (run.golden) this.validated(run.golden, run.version);
    }
    const progress = (status.currentJob?.progress ?? {}) as Partial<JobProgress>;
    this.stepDone(progress);
  }
}

/** In place of what it said of another version. */
function set(gauge: OfVersion, labels: Record<'model' | 'version_id', string>, value: number | undefined): void {
  gauge.reset();
  if (value !== undefined) gauge.set(labels, value);
}

/** Of a run that made a version. */
function successOf({ payload, result }: Job): TrainingResult | undefined {
  const { kind } = payload as { kind?: unknown };
  const run = result as TrainingResult | undefined;
  return (kind === 'train' || kind === 'train-jsonl') && run?.status === 'success' ? run : undefined;
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
