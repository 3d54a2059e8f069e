/** One claimed job from its handler's start to its end: heartbeats, progress, and how the end is told. */
import { LorakeetError } from '../../errors.js';
import type { Logger } from '../../logger.js';
import { requireJson } from './arguments.js';
import type { Clock } from './clock.js';
import type { ClaimedJob, HeartbeatOptions, Job, JobQueue, Json } from './job.js';
import type { JobHandler } from './worker.js';

export interface JobRunOptions {
  leaseMs: number;
  heartbeatMs: number;
  progressMs: number;
  isFinal: (error: unknown) => boolean;
  clock: Clock;
  logger: Logger;
}

export class JobRun {
  readonly id: string;
  readonly #queue: JobQueue;
  readonly #job: ClaimedJob;
  readonly #options: JobRunOptions;
  readonly #abort = new AbortController();
  /** Not written yet. */
  #news: Pick<HeartbeatOptions, 'progress' | 'checkpoint'> = {};
  #lastBeat: number;
  /** From the moment before the heartbeat was sent, so rather too short. */
  #leaseEnds: number;
  #beating: Promise<void> | undefined;
  #callOff = () => {};
  #ended = false;

  constructor(queue: JobQueue, job: ClaimedJob, options: JobRunOptions) {
    this.id = job.id;
    this.#queue = queue;
    this.#job = job;
    this.#options = options;
    this.#lastBeat = options.clock.now();
    this.#leaseEnds = this.#lastBeat + options.leaseMs;
  }

  abort(reason: LorakeetError): void {
    this.#abort.abort(reason);
  }

  /** Never rejects. */
  async finish(handler: JobHandler): Promise<void> {
    const { logger } = this.#options;
    this.#plan(this.#options.heartbeatMs);
    let tell: () => Promise<Job>;
    try {
      const result = (await handler(this.#job, this.#context())) ?? undefined;
      if (result !== undefined) requireJson('result', result);
      tell = () => this.#queue.complete(this.#job, result);
    } catch (error) {
      tell = () => this.#tellFailure(error);
    }
    this.#ended = true;
    this.#callOff();
    await this.#beating;
    const job = await this.#insist(tell);
    if (job) logger.info(`jobs: ${this.#job.queue}: job ${this.id} ${told(job)}`);
  }

  #context() {
    const tell = (news: Pick<HeartbeatOptions, 'progress' | 'checkpoint'>) => {
      Object.assign(this.#news, news);
    };
    return {
      signal: this.#abort.signal,
      progress: (value: Json) => {
        requireJson('progress', value);
        tell({ progress: value });
        const { clock, progressMs } = this.#options;
        this.#plan(Math.max(0, this.#lastBeat + progressMs - clock.now()));
      },
      checkpoint: (value: Json) => {
        requireJson('checkpoint', value);
        tell({ checkpoint: value });
      },
    };
  }

  async #tellFailure(error: unknown): Promise<Job> {
    const reason = this.#abort.signal.reason as LorakeetError | undefined;
    if (reason?.code === 'ERR_CLOSED') return this.#queue.release(this.#job, this.#news.checkpoint);
    const text = error instanceof Error ? error.message : String(error);
    const final = this.#options.isFinal(error);
    if (this.#news.checkpoint !== undefined) await this.#beat();
    return this.#queue.fail(this.#job, text, { final });
  }

  /** The next heartbeat is then, or sooner. */
  #plan(ms: number): void {
    if (this.#ended || this.#beating) return;
    this.#callOff();
    const { clock, heartbeatMs } = this.#options;
    const due = Math.max(0, Math.min(ms, this.#lastBeat + heartbeatMs - clock.now()));
    this.#callOff = clock.after(due, () => {
      this.#beating = this.#beat().then(() => {
        this.#beating = undefined;
        const { progress } = this.#news;
        this.#plan(progress === undefined ? heartbeatMs : this.#options.progressMs);
      });
    });
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    const { clock, leaseMs, logger } = this.#options;
    const news = this.#news;
    this.#news = {};
    this.#lastBeat = clock.now();
    try {
      const { cancelRequested } = await this.#queue.heartbeat(this.#job, { leaseMs, ...news });
      this.#leaseEnds = this.#lastBeat + leaseMs;
      if (cancelRequested) this.abort(new LorakeetError('ERR_ABORTED', `job ${this.id} is to be cancelled`));
    } catch (error) {
      this.#news = { ...news, ...this.#news };
      if (isLost(error)) this.abort(error);
      else logger.warn(`jobs: ${this.#job.queue}: heartbeat of job ${this.id} failed: ${(error as Error).message}`);
      if (clock.now() >= this.#leaseEnds) {
        this.abort(new LorakeetError('ERR_JOB_LOST', `the lease of job ${this.id} has ended without a heartbeat`));
      }
    }
  }

  /** Until the queue has heard of the end, the lease is over, or the worker stops. */
  async #insist(tell: () => Promise<Job>): Promise<Job | undefined> {
    const { clock, heartbeatMs, logger } = this.#options;
    for (;;) {
      try {
        if (this.#news.progress !== undefined) await this.#beat();
        return await tell();
      } catch (error) {
        const text = `jobs: ${this.#job.queue}: the end of job ${this.id} cannot be told: ${(error as Error).message}`;
        logger.error(text);
        const over = clock.now() >= this.#leaseEnds || this.#abort.signal.aborted;
        if (over || (error as LorakeetError).code !== 'ERR_STORE_UNAVAILABLE') return undefined;
      }
      await new Promise<void>((done) => {
        clock.after(heartbeatMs, done);
      });
    }
  }
}

function isLost(error: unknown): error is LorakeetError {
  return error instanceof LorakeetError && error.code === 'ERR_JOB_LOST';
}

function told({ state, claims, failures, maxAttempts, error }: Job): string {
  if (state === 'completed') return 'is complete';
  if (state === 'cancelled') return 'is cancelled';
  if (state === 'failed') return `has failed for good after ${claims} claims: ${error}`;
  return error === undefined ? 'is queued again' : `is queued again (${failures} of ${maxAttempts} failed): ${error}`;
}
