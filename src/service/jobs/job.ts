/** What a job is, and what a queue of them can do. */

/** What JSON.stringify keeps as it is. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * queued: waits, maybe for its next attempt; running: claimed, its lease may have ended; failed: all attempts are used up
 * (the dead letters).
 */
export type JobState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
export const JOB_STATES: readonly JobState[] = ['queued', 'running', 'completed', 'failed', 'cancelled'];

export interface JobRequest {
  /** Jobs of one queue share a limit of how many run at a time; e.g. train-cuda-0. */
  queue: string;
  /** Default: null. */
  payload?: Json;
  /** A second request of this queue with the same key makes no second job, for as long as the first is remembered. */
  idempotencyKey?: string;
  /** Higher goes first, −1000 to 1000; default 0. Equal ones go in the order in which they came. */
  priority?: number;
  /** How often it is tried, 1 to 100; default 3. A worker that dies with it has used one up. */
  maxAttempts?: number;
  /** Before the second attempt, ms; doubles with every further one, up to an hour. Default 10,000. */
  backOffMs?: number;
}

export interface Job {
  id: string;
  queue: string;
  state: JobState;
  payload: Json;
  idempotencyKey: string | undefined;
  priority: number;
  maxAttempts: number;
  backOffMs: number;
  /** Attempts that failed, a worker's death included. */
  failures: number;
  /** How often it was claimed. */
  claims: number;
  /** Of the worker that has it, or had it last. */
  worker: string | undefined;
  /** The last that its handler told. */
  progress: Json | undefined;
  /** What the next attempt goes on from. */
  checkpoint: Json | undefined;
  result: Json | undefined;
  /** Of the last attempt that failed. */
  error: string | undefined;
  /** Somebody wants it to end; its worker is told with its next heartbeat. */
  cancelRequested: boolean;
  createdAt: Date;
  /** When it may be claimed, at the earliest. */
  runAt: Date;
  /** Of the last claim. */
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
  /** While running: from then on another worker may have it. */
  leaseEndsAt: Date | undefined;
}

/** Says whose a job is: every claim has a token of its own, and what comes with an older one is refused. */
export interface Claim {
  id: string;
  token: string;
}

export interface ClaimedJob extends Job, Claim {}

export interface ClaimOptions {
  /** A name to tell workers apart, for people. */
  worker: string;
  /** How long it is the worker's without a heartbeat. */
  leaseMs: number;
  /** Of the queue, all machines together, 1 to 1000; default 1: one trainer per device. */
  maxRunning?: number;
}

export interface HeartbeatOptions {
  /** From now. */
  leaseMs: number;
  /** Default: what is there stays. */
  progress?: Json;
  /** Default: what is there stays. */
  checkpoint?: Json;
}

export interface JobListOptions {
  /** Default: all. */
  queue?: string;
  /** Default: all. */
  states?: readonly JobState[];
  /** 1 to 1000; default 50. */
  limit?: number;
  /** `next` of the page before. */
  before?: number;
}

/** Newest first. */
export interface JobPage {
  jobs: Job[];
  /** undefined on the last page. */
  next: number | undefined;
}

/** As a scheduler knows it. */
export interface ScheduleRow {
  /** Up to then all is done; at first, when the schedule became known. */
  lastTick: Date;
  /** Made at the last tick that made one. */
  lastJobId: string | undefined;
}

/**
 * A queue that several processes share. Every method rejects with ERR_INVALID_ARGUMENT for arguments that are none, and with
 * ERR_STORE_UNAVAILABLE; nothing has happened then, or repeating it does no harm.
 */
export interface JobQueue {
  /** `created`: whether the job is new; one with the same key is answered as it is. */
  enqueue(request: JobRequest): Promise<{ job: Job; created: boolean }>;
  /**
   * The most urgent job that may run, now this worker's; undefined if there is none or `maxRunning` run already. Jobs whose
   * lease has ended are queued again first, or have failed if that was their last attempt.
   */
  claim(queue: string, options: ClaimOptions): Promise<ClaimedJob | undefined>;
  /** Keeps the job; look at `cancelRequested` of the answer. Rejects with ERR_JOB_LOST if it is no longer the claim's. */
  heartbeat(claim: Claim, options: HeartbeatOptions): Promise<Job>;
  /** Rejects with ERR_JOB_LOST if it is no longer the claim's: then another has it, or has completed it. */
  complete(claim: Claim, result?: Json): Promise<Job>;
  /**
   * The attempt has failed: the job is tried again later or, at the last attempt or when `final`, has failed; where it was to
   * be cancelled it is. Rejects with ERR_JOB_LOST.
   */
  fail(claim: Claim, error: string, options?: { final?: boolean }): Promise<Job>;
  /** Gives the job back, for somebody else to go on with at once; no attempt is used up. Rejects with ERR_JOB_LOST. */
  release(claim: Claim, checkpoint?: Json): Promise<Job>;
  /** A running job ends when its worker hears of it. Rejects with ERR_JOB_NOT_FOUND, ERR_INVALID_STATE if it has ended. */
  cancel(id: string): Promise<Job>;
  /** Queues a failed or cancelled job anew, with all attempts. Rejects with ERR_JOB_NOT_FOUND, ERR_INVALID_STATE. */
  retry(id: string): Promise<Job>;
  get(id: string): Promise<Job | undefined>;
  list(options?: JobListOptions): Promise<JobPage>;
  counts(queue?: string): Promise<Record<JobState, number>>;
  /** Forgets jobs that had ended before, and their keys; how many. */
  deleteFinished(before: Date): Promise<number>;
  /** Makes a schedule known, or known anew if `definition` has changed, as of `now`; how far it has got. */
  registerSchedule(name: string, definition: string, now: Date): Promise<ScheduleRow>;
  /**
   * Does the tick unless it or a later one is done: makes the job, or none without `request`, or none while the job of an
   * earlier tick has not ended. The three answers: the job, 'skipped' and, where somebody else has done it, 'done'.
   */
  enqueueTick(schedule: string, tick: Date, request: JobRequest | undefined): Promise<Job | 'skipped' | 'done'>;
  close(): Promise<void>;
}
