/** Opens what the service works with, in the order in which one thing needs another. */
import type { Logger } from '../../logger.js';
import { LanguageModelServer } from '../../serving/language-model-server.js';
import { AdapterVersions } from '../../versions/adapter-versions.js';
import type { ServiceConfig } from '../config/keys.js';
import { type Clock, systemClock } from '../jobs/clock.js';
import { JobWorker } from '../jobs/worker.js';
import { Scheduler } from '../scheduler/scheduler.js';
import { openFeedbackStore, openJobQueue, openVersionStore } from '../stores.js';
import { ConfiguredModel } from './base-model.js';
import { Closing } from './closing.js';
import { makeRemoteDrivers } from './drivers.js';
import type { ServiceEvents } from './events.js';
import { createLearning } from './learning.js';
import { LoraControl } from './lora-control.js';
import type { JobKind } from './operations.js';
import type { Learning, ServiceParts } from './parts.js';
import { Replica } from './replica.js';

export interface OpenOptions {
  logger: Logger;
  events: ServiceEvents;
  clock?: Clock;
}

export interface OpenedParts {
  parts: ServiceParts;
  learning: Learning;
  lora: LoraControl;
  /** undefined where other processes serve. */
  replicas: readonly Replica[] | undefined;
  /** Of the driver in-process, where there is a model. */
  server: LanguageModelServer | undefined;
  worker: JobWorker | undefined;
  closing: Closing;
}

/** What a process is for: the service itself, with a worker if jobs.worker says so, or nothing but a worker. */
export type Role = 'service' | 'worker';

/** What fails to open closes what was opened. */
export async function openParts(config: ServiceConfig, role: Role, options: OpenOptions): Promise<OpenedParts> {
  const closing = new Closing(options.logger);
  try {
    return await open(config, role, options, closing);
  } catch (error) {
    await closing.run();
    throw error;
  }
}

async function open(
  config: ServiceConfig,
  role: Role,
  { logger, events, clock = systemClock }: OpenOptions,
  closing: Closing,
): Promise<OpenedParts> {
  const feedback = await openFeedbackStore(config);
  closing.add('the feedback store', () => feedback.close());
  const versionStore = await openVersionStore(config);
  closing.add('the version store', () => versionStore.close());
  const queue = await openJobQueue(config);
  closing.add('the job queue', () => queue.close());
  const model = new ConfiguredModel(config.model, logger);
  closing.add('the model', () => model.close());
  const versions = new AdapterVersions(versionStore, config.lora.project);

  const { server, replicas } = await openServing(config, role, { versions, model, logger, closing });
  const lora = new LoraControl({ config, versions, model, replicas, events, logger });

  const queueName = `train:${config.lora.project}`;
  let worker: JobWorker | undefined;
  const wakeWorker = () => worker?.wake();
  const scheduler = role === 'service' ? await makeScheduler() : undefined;
  const parts: ServiceParts = {
    ...{ config, logger, clock, feedback, versionStore, versions, queue, queueName, model, scheduler, events, lora },
    wakeWorker,
  };
  const learning = createLearning(parts);
  if (role === 'worker' || config.jobs.worker) {
    const { handleJob, isFinalFailure: isFinal } = learning;
    worker = new JobWorker(queue, queueName, handleJob, { clock, logger, isFinal });
  }
  return { parts, learning, lora, replicas, server, worker, closing };

  async function makeScheduler(): Promise<Scheduler> {
    const scheduler = new Scheduler(queue, { clock, logger, onJob: wakeWorker });
    const { enabled, cron, timeZone, misfire } = config.schedule;
    if (enabled) {
      const kind: JobKind = 'train';
      const payload = { kind, request: { triggerSource: 'schedule' }, caller: { name: 'schedule' } };
      await scheduler.add({
        ...{ name: queueName, cron, timeZone, misfire: misfire === 'once' ? 'catch-up' : 'skip' },
        job: { queue: queueName, payload },
      });
    }
    return scheduler;
  }
}

interface ServingParts {
  versions: AdapterVersions;
  model: ConfiguredModel;
  logger: Logger;
  closing: Closing;
}

/** The model is loaded here where it is to answer, so that a wrong folder ends the start. */
async function openServing(config: ServiceConfig, role: Role, { versions, model, logger, closing }: ServingParts) {
  const replica = (driver: ConstructorParameters<typeof Replica>[0]) => new Replica(driver, versions, config, logger);
  if (config.serving.driver !== 'in-process') {
    const drivers = await makeRemoteDrivers(config, logger);
    return { server: undefined, replicas: drivers.map(replica) };
  }
  if (role === 'worker') return { server: undefined, replicas: undefined };
  if (config.model.folder === undefined) return { server: undefined, replicas: [] };
  const server = new LanguageModelServer(await model.load());
  closing.add('the server', () => server.close());
  return { server, replicas: [replica(server)] };
}
