/** The learning engine service, and a process that only works on its jobs. */
import { rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { consoleLogger, type Logger } from '../../logger.js';
import type { ServiceConfig } from '../config/keys.js';
import type { FeedbackInput } from '../feedback/feedback.js';
import type { FeedbackWindow } from '../feedback/feedback-store.js';
import type { Clock } from '../jobs/clock.js';
import type { JobListOptions } from '../jobs/job.js';
import { openServiceMetrics } from '../metrics/service-metrics.js';
import { AdapterList } from './adapters.js';
import { modelNameOf } from './base-model.js';
import { type ServiceMetrics, silentEvents } from './events.js';
import { answer, type GenerateOptions } from './generation.js';
import { HealthChecks } from './health.js';
import { startHousekeeping } from './housekeeping.js';
import { type OpenedParts, openParts } from './open-parts.js';
import type * as operations from './operations.js';
import { overviewOf } from './overview.js';
import { Requests } from './requests.js';

type Caller = operations.Caller;

export interface LearningServiceOptions {
  /** Default: the console. */
  logger?: Logger;
  clock?: Clock;
}

/**
 * Opens the stores, loads the model where it answers in this process, brings every replica to what the store says, and starts
 * the worker (jobs.worker) and the schedule. What fails closes what was opened: rejects as openFeedbackStore, loadBaseModel and
 * the drivers do, with ERR_SCHEDULER_UNAVAILABLE where schedule.enabled needs the package croner.
 */
export async function openLearningService(
  config: ServiceConfig,
  options: LearningServiceOptions = {},
): Promise<operations.LearningService> {
  const { logger = consoleLogger, clock } = requireOptions(options);
  const metrics = await openServiceMetrics({ model: modelNameOf(config.model) ?? 'none', logger });
  const opened = await openParts(config, 'service', { logger, events: metrics, clock });
  const service = new Service(opened, metrics);
  try {
    await service.start();
  } catch (error) {
    await service.close();
    throw error;
  }
  return service;
}

/** A process that takes jobs and answers nobody. */
export interface LearningWorker {
  /** The id of the job under way. */
  readonly running: string | undefined;
  /** As that of the service. */
  close(): Promise<void>;
}

/**
 * A worker beside services with the same stores, whatever jobs.worker says. The model is loaded with the first job. Rejects as
 * openLearningService does.
 */
export async function openLearningWorker(
  config: ServiceConfig,
  options: LearningServiceOptions = {},
): Promise<LearningWorker> {
  const { logger = consoleLogger, clock } = requireOptions(options);
  const { worker, closing } = await openParts(config, 'worker', { logger, events: silentEvents, clock });
  worker?.start();
  let closed: Promise<void> | undefined;
  return {
    get running() {
      return worker?.running;
    },
    close() {
      closed ??= stopWorker(worker, config).then(() => closing.run());
      return closed;
    },
  };
}

function requireOptions(options: LearningServiceOptions): LearningServiceOptions {
  rejectUnknownKeys('options', options, ['logger', 'clock']);
  return options;
}

/** Half of the time is for the job to finish, the rest for its checkpoint. */
async function stopWorker(worker: OpenedParts['worker'], { service }: ServiceConfig): Promise<void> {
  await worker?.stop({ graceMs: Math.floor(service.shutdownTimeoutSeconds * 500) });
}

class Service implements operations.LearningService {
  readonly #opened: OpenedParts;
  readonly #metrics: ServiceMetrics;
  readonly #requests = new Requests();
  readonly #adapters: AdapterList;
  readonly #health: HealthChecks;
  #endHousekeeping = async () => {};
  #closed: Promise<void> | undefined;

  constructor(opened: OpenedParts, metrics: ServiceMetrics) {
    const { parts, lora, worker } = opened;
    this.#opened = opened;
    this.#metrics = metrics;
    this.#adapters = new AdapterList(parts.versions);
    this.#health = new HealthChecks({ ...parts, worker, serving: () => lora.serving() });
  }

  async start(): Promise<void> {
    const { parts, lora, replicas = [], server, worker } = this.#opened;
    await lora.activateInitial();
    // what answers here answers rightly from the first request on; servers elsewhere may be down, and are seen to in time
    if (server) await lora.bringAll();
    for (const replica of replicas) replica.start();
    worker?.start();
    parts.scheduler?.start();
    this.#endHousekeeping = startHousekeeping(parts);
  }

  health(): Promise<operations.Health> {
    return this.#run(() => this.#health.check());
  }

  overview(): Promise<operations.Overview> {
    return this.#run(({ parts }) => overviewOf(parts));
  }

  train(request: operations.TrainRequest, caller: Caller) {
    return this.#run(({ learning }) => learning.train(request, caller));
  }

  trainFile(request: operations.TrainFileRequest, caller: Caller) {
    return this.#run(({ learning }) => learning.trainFile(request, caller));
  }

  calculateFisher(request: operations.FisherRequest, caller: Caller) {
    return this.#run(({ learning }) => learning.calculateFisher(request, caller));
  }

  validate(request: operations.GoldenRequest, options: { signal?: AbortSignal } = {}) {
    return this.#run(({ learning }) => {
      const signal = this.#requests.signalWith(options.signal);
      return learning.validate(request, { ...options, signal });
    });
  }

  trainingStatus() {
    return this.#run(({ learning }) => learning.trainingStatus());
  }

  jobs(options: JobListOptions = {}) {
    return this.#run(({ parts }) => parts.queue.list(options));
  }

  job(id: string) {
    return this.#run(async ({ parts }) => {
      const job = await parts.queue.get(id);
      if (!job) throw new LorakeetError('ERR_JOB_NOT_FOUND', `there is no job ${JSON.stringify(id)}`);
      return job;
    });
  }

  cancelJob(id: string) {
    return this.#run(({ parts }) => parts.queue.cancel(id));
  }

  adapters() {
    return this.#run(() => this.#adapters.summaries());
  }

  adapter(version: string) {
    return this.#run(() => this.#adapters.details(version));
  }

  loraStatus() {
    return this.#run(({ lora }) => lora.loraStatus());
  }

  activate(request: operations.LoraRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.activate(request, caller));
  }

  enable(request: operations.LoraRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.enable(request, caller));
  }

  disable(request: operations.LoraRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.disable(request, caller));
  }

  rollback(request: operations.LoraRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.rollback(request, caller));
  }

  promote(request: operations.LoraRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.promote(request, caller));
  }

  quarantine(request: operations.QuarantineRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.quarantine(request, caller));
  }

  release(request: operations.QuarantineRequest, caller: Caller) {
    return this.#run(({ lora }) => lora.release(request, caller));
  }

  appendFeedback(rows: readonly FeedbackInput[]) {
    return this.#run(async ({ parts }) => {
      const appended = await parts.feedback.append(rows);
      parts.events.feedbackAppended({ received: rows.length, added: appended.added });
      return appended;
    });
  }

  countFeedback(window: FeedbackWindow) {
    return this.#run(({ parts }) => parts.feedback.count(window));
  }

  feedback(window: FeedbackWindow, options: { limit: number; after?: string }) {
    return this.#run(({ parts }) => parts.feedback.page(window, options));
  }

  generate(request: operations.GenerateRequest, options: GenerateOptions = {}) {
    return this.#run(({ parts, server, replicas }) => {
      const { config, events } = parts;
      if (!server) {
        const elsewhere = replicas?.map(({ target }) => target).join(', ');
        const who = elsewhere ? `requests go to ${elsewhere}` : 'model.folder is not set';
        throw new LorakeetError('ERR_INVALID_STATE', `no model answers in this process: ${who}`);
      }
      const signal = this.#requests.signalWith(options.signal);
      return answer(server, config.lora.project, request, { ...options, signal }, events);
    });
  }

  metrics(): Promise<string> {
    return this.#run(() => this.#metrics.text(this));
  }

  requestFinished(request: operations.RequestEnd): void {
    this.#metrics.requestFinished(request);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { parts, replicas = [], worker, closing } = this.#opened;
    const waitMs = parts.config.service.shutdownTimeoutSeconds * 1000;
    const answered = this.#requests.close(waitMs);
    await Promise.all([parts.scheduler?.stop(), this.#endHousekeeping()]);
    await Promise.all([stopWorker(worker, parts.config), answered]);
    await Promise.all(replicas.map((replica) => replica.stop()));
    await closing.run();
  }

  #run<T>(work: (opened: OpenedParts) => Promise<T> | T): Promise<T> {
    return this.#requests.run(async () => work(this.#opened));
  }
}
