/** What the operations of the service work with; opened once, and handed to each of them. */
import type { LanguageModel } from '../../llm/index.js';
import type { Logger } from '../../logger.js';
import type { AdapterVersions } from '../../versions/adapter-versions.js';
import type { VersionStore } from '../../versions/version-store.js';
import type { ServiceConfig } from '../config/keys.js';
import type { FeedbackStore } from '../feedback/feedback-store.js';
import type { Clock } from '../jobs/clock.js';
import type { JobQueue } from '../jobs/job.js';
import type { JobHandler } from '../jobs/worker.js';
import type { Scheduler } from '../scheduler/scheduler.js';
import type { ServiceEvents } from './events.js';
import type { LearningService } from './operations.js';

/** The base model of model.folder, loaded when it is first needed, and shared by training, validation and serving. */
export interface BaseModel {
  /** model.name, else the name of the folder; undefined where no folder is configured. */
  readonly name: string | undefined;
  /** undefined until it has been loaded. */
  readonly loaded: LanguageModel | undefined;
  /**
   * Loads it once, however often it is called; a failure is tried again by the next call. Rejects with ERR_INVALID_STATE where
   * model.folder is not set, and as loadBaseModel. It belongs to the service: nobody else closes it.
   */
  load(): Promise<LanguageModel>;
}

export interface ServiceParts {
  readonly config: ServiceConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly feedback: FeedbackStore;
  readonly versionStore: VersionStore;
  /** Of the adapter lora.project. */
  readonly versions: AdapterVersions;
  readonly queue: JobQueue;
  /** Of all jobs of the adapter: train:<lora.project>. */
  readonly queueName: string;
  readonly model: BaseModel;
  /** undefined in a process that only works on jobs. */
  readonly scheduler: Scheduler | undefined;
  readonly events: ServiceEvents;
  /** For jobs that deploy what they have made. */
  readonly lora: Pick<LearningService, 'activate' | 'loraStatus'>;
  /** Has the worker of this process, if there is one, look for jobs at once: to be called after enqueue. */
  wakeWorker(): void;
}

/** Everything about learning, made of the parts. */
export interface Learning
  extends Pick<LearningService, 'train' | 'trainFile' | 'calculateFisher' | 'validate' | 'trainingStatus'> {
  /** Of all jobs of queueName. */
  handleJob: JobHandler;
  /** Whether it is of no use to try such a job again. */
  isFinalFailure: (error: unknown) => boolean;
}
