/** Takes the jobs of a queue one after another and keeps them while their handler runs. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { consoleLogger, type Logger } from '../../logger.js';
import { HOUR_MS, integer, requireQueue, requireText } from './arguments.js';
import { type Clock, systemClock } from './clock.js';
import type { ClaimedJob, Job, JobQueue, Json } from './job.js';
import { JobRun } from './run.js';

export interface JobContext {
  /**
   * Aborted with a LorakeetError as its reason when the job is to be cancelled (ERR_ABORTED), when the worker stops
   * (ERR_CLOSED: save a checkpoint and throw), or when the job is another's now (ERR_JOB_LOST).
   */
  readonly signal: AbortSignal;
  /** Shown to whoever looks at the job; written at most every `progressMs`, the last one always. */
  progress(value: Json): void;
  /** What job.checkpoint of the next attempt is, written with the next heartbeat and when the worker stops. */
  checkpoint(value: Json): void;
}

/** What it answers is the job's result. */
export type JobHandler = (job: Job, context: JobContext) => Promise<Json | undefined> | Promise<void>;

export interface JobWorkerOptions {
  /** Default: host, process and a random number. */
  name?: string;
  /** How long a job stays this worker's when nothing is heard of it, ms; default 30,000. */
  leaseMs?: number;
  /** Between heartbeats, ms, and so how soon a cancellation is heard of; default 3000. At most half of leaseMs. */
  heartbeatMs?: number;
  /** Default 500. */
  progressMs?: number;
  /** How often it looks for jobs while there are none, ms; default 1000. */
  pollMs?: number;
  /** Of the queue, all workers together; default 1. */
  maxRunning?: number;
  /** Whether trying again is of no use; default: for errors with codes ERR_INVALID_…. */
  isFinal?: (error: unknown) => boolean;
  clock?: Clock;
  /** Default: the console. */
  logger?: Logger;
}

const OPTIONS = [
  ...['name', 'leaseMs', 'heartbeatMs', 'progressMs', 'pollMs', 'maxRunning', 'isFinal', 'clock', 'logger'],
];

export class JobWorker {
  readonly #queue: JobQueue;
  readonly #queueName: string;
  readonly #handler: JobHandler;
  readonly #options: Required<JobWorkerOptions>;
  #stopping: Promise<void> | undefined;
  #loop: Promise<void> | undefined;
  #run: JobRun | undefined;
  #lastLook: { at: Date; error?: string } | undefined;
  #wake = () => {};
  #awake = false;

  /** Throws ERR_INVALID_CONFIG and ERR_INVALID_ARGUMENT. */
  constructor(queue: JobQueue, queueName: string, handler: JobHandler, options: JobWorkerOptions = {}) {
    rejectUnknownKeys('options', options, OPTIONS);
    if (typeof handler !== 'function') fail('ERR_INVALID_ARGUMENT', 'handler', handler, 'a function');
    const leaseMs = integer('options.leaseMs', options.leaseMs ?? 30_000, 2, 24 * HOUR_MS);
    const half = Math.floor(leaseMs / 2);
    this.#queue = queue;
    this.#queueName = requireQueue('queueName', queueName);
    this.#handler = handler;
    this.#options = {
      name: requireText('options.name', options.name ?? `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`),
      leaseMs,
      heartbeatMs: integer('options.heartbeatMs', options.heartbeatMs ?? Math.min(3000, half), 1, half),
      progressMs: integer('options.progressMs', options.progressMs ?? 500, 0, HOUR_MS),
      pollMs: integer('options.pollMs', options.pollMs ?? 1000, 1, HOUR_MS),
      maxRunning: integer('options.maxRunning', options.maxRunning ?? 1, 1, 1000),
      isFinal: options.isFinal ?? isInvalid,
      clock: options.clock ?? systemClock,
      logger: options.logger ?? consoleLogger,
    };
  }

  /** Starts to look for jobs. Throws ERR_CLOSED once it has been stopped. */
  start(): void {
    if (this.#stopping) throw new LorakeetError('ERR_CLOSED', 'the worker has been stopped');
    this.#loop ??= this.#work();
  }

  /** Looks for a job at once, as when one has just been queued here. */
  wake(): void {
    this.#awake = true;
    this.#wake();
  }

  /** When it last asked the queue for a job, and why it got no answer, if so; undefined before the first time. */
  get lastLook(): { at: Date; error?: string } | undefined {
    return this.#lastLook;
  }

  /** The id of the job under way. */
  get running(): string | undefined {
    return this.#run?.id;
  }

  /**
   * Takes no more jobs. The one under way has `graceMs` to finish, default 0; then its signal is aborted, and when its handler
   * throws, the job goes back to the queue with its last checkpoint. Resolves when the handler has ended.
   */
  stop({ graceMs = 0 } = {}): Promise<void> {
    integer('graceMs', graceMs, 0, 24 * HOUR_MS);
    this.#stopping ??= this.#finish(graceMs);
    return this.#stopping;
  }

  async #finish(graceMs: number): Promise<void> {
    const end = () => this.#run?.abort(new LorakeetError('ERR_CLOSED', 'the worker stops'));
    const callOff = graceMs > 0 ? this.#options.clock.after(graceMs, end) : end();
    this.#wake();
    await this.#loop;
    callOff?.();
  }

  async #work(): Promise<void> {
    while (!this.#stopping) {
      this.#awake = false;
      const job = await this.#claim();
      if (job) await this.#do(job);
      else if (!this.#stopping && !this.#awake) await this.#sleep();
    }
  }

  async #claim(): Promise<ClaimedJob | undefined> {
    const { name, leaseMs, maxRunning, clock, logger } = this.#options;
    try {
      const job = await this.#queue.claim(this.#queueName, { worker: name, leaseMs, maxRunning });
      this.#lastLook = { at: new Date(clock.now()) };
      return job;
    } catch (error) {
      this.#lastLook = { at: new Date(clock.now()), error: (error as Error).message };
      logger.error(`jobs: ${this.#queueName}: cannot look for jobs: ${(error as Error).message}`);
      return undefined;
    }
  }

  async #do(job: ClaimedJob): Promise<void> {
    if (this.#stopping) {
      // stop() came while it was being claimed
      await this.#queue.release(job).catch(() => {});
      return;
    }
    this.#run = new JobRun(this.#queue, job, this.#options);
    await this.#run.finish(this.#handler);
    this.#run = undefined;
  }

  #sleep(): Promise<void> {
    return new Promise((done) => {
      const callOff = this.#options.clock.after(this.#options.pollMs, done);
      this.#wake = () => {
        callOff();
        done();
      };
    });
  }
}

function isInvalid(error: unknown): boolean {
  return error instanceof LorakeetError && error.code.startsWith('ERR_INVALID_');
}
