/** Makes jobs at set times. Any number of processes may have the same schedules: one of them makes the job of a tick. */
import { fail, rejectUnknownKeys, requireOneOf } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { consoleLogger, type Logger } from '../../logger.js';
import { requireRequest, requireText } from '../jobs/arguments.js';
import { type Clock, systemClock } from '../jobs/clock.js';
import type { Job, JobQueue, JobRequest, ScheduleRow } from '../jobs/job.js';
import { type CronTimes, cronTimes } from './cron.js';

export interface ScheduleOptions {
  /** Of the schedule, the same in every process. */
  name: string;
  /** Minute, hour, day, month, weekday: 0 2 * * 1 is Monday at two. */
  cron: string;
  /** Default UTC. */
  timeZone?: string;
  /** The job of a tick; its idempotency key is made of name and tick. */
  job: Omit<JobRequest, 'idempotencyKey'>;
  /**
   * When ticks were missed because nothing ran: catch-up (default) does the last of them, once; skip none of them. A tick
   * counts as missed after a minute.
   */
  misfire?: 'catch-up' | 'skip';
}

export interface ScheduleStatus {
  name: string;
  cron: string;
  timeZone: string;
  /** undefined if it never comes due. */
  nextRunAt: Date | undefined;
  /** The last tick that is done, or when the schedule became known. */
  lastTickAt: Date;
  /** The job of the last tick that made one. */
  lastJobId: string | undefined;
}

export interface SchedulerOptions {
  /** Is told of every job made here, e.g. to wake a worker. */
  onJob?: (job: Job) => void;
  clock?: Clock;
  /** Default: the console. */
  logger?: Logger;
}

interface Schedule extends Required<ScheduleOptions> {
  definition: string;
  times: CronTimes;
  row: ScheduleRow;
}

/** The clock of a machine may be set, and machines sleep: it is looked at this often. */
const LONGEST_WAIT_MS = 60_000;
const RETRY_MS = 10_000;
const MISSED_AFTER_MS = 60_000;

export class Scheduler {
  readonly #queue: JobQueue;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onJob: (job: Job) => void;
  readonly #schedules = new Map<string, Schedule>();
  #callOff = () => {};
  #looking: Promise<void> | undefined;
  #state: 'new' | 'started' | 'stopped' = 'new';

  /** Throws ERR_INVALID_CONFIG. */
  constructor(queue: JobQueue, options: SchedulerOptions = {}) {
    rejectUnknownKeys('options', options, ['onJob', 'clock', 'logger']);
    this.#queue = queue;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? consoleLogger;
    this.#onJob = options.onJob ?? (() => {});
  }

  /**
   * Rejects with ERR_INVALID_CONFIG and ERR_INVALID_ARGUMENT, ERR_SCHEDULER_UNAVAILABLE without the package croner, and
   * ERR_STORE_UNAVAILABLE. A schedule whose times have changed begins anew: it has missed nothing.
   */
  async add(options: ScheduleOptions): Promise<void> {
    rejectUnknownKeys('schedule', options, ['name', 'cron', 'timeZone', 'job', 'misfire']);
    const { cron, timeZone = 'UTC', job, misfire = 'catch-up' } = options;
    const name = requireText('schedule.name', options.name);
    if (name.length > 100) fail('ERR_INVALID_ARGUMENT', 'schedule.name', name, 'at most 100 characters');
    if (this.#schedules.has(name)) fail('ERR_INVALID_ARGUMENT', 'schedule.name', name, 'a name of its own');
    requireOneOf('schedule.misfire', misfire, ['catch-up', 'skip']);
    requireRequest(job);
    const times = await cronTimes('schedule', cron, timeZone);
    const definition = `${cron} ${timeZone}`;
    const row = await this.#queue.registerSchedule(name, definition, new Date(this.#clock.now()));
    this.#schedules.set(name, { name, cron, timeZone, job, misfire, definition, times, row });
    if (this.#state === 'started') this.#plan(0);
  }

  /** Does what was missed, then waits for what comes. Throws ERR_CLOSED once it has been stopped. */
  start(): void {
    if (this.#state === 'stopped') throw new LorakeetError('ERR_CLOSED', 'the scheduler has been stopped');
    if (this.#state === 'new') this.#plan(0);
    this.#state = 'started';
  }

  /** Resolves when no tick is under way. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#callOff();
    await this.#looking;
  }

  get isRunning(): boolean {
    return this.#state === 'started';
  }

  /** As far as this process knows; another may have done a tick that this one has not come to. */
  status(): ScheduleStatus[] {
    return [...this.#schedules.values()].map(({ name, cron, timeZone, row, times }) => ({
      ...{ name, cron, timeZone, lastTickAt: row.lastTick, lastJobId: row.lastJobId },
      nextRunAt: times.next(this.#later(row.lastTick)),
    }));
  }

  /** Neither a tick that is done nor one before now: what comes next is after both. */
  #later(lastTick: Date): Date {
    return new Date(Math.max(lastTick.getTime(), this.#clock.now()));
  }

  #plan(ms: number): void {
    this.#callOff();
    this.#callOff = this.#clock.after(ms, () => {
      if (this.#looking) return;
      this.#looking = this.#look().then((wait) => {
        this.#looking = undefined;
        if (this.#state === 'started') this.#plan(wait);
      });
    });
  }

  /** Does what is due; how long to wait then. Never rejects. */
  async #look(): Promise<number> {
    let wait = LONGEST_WAIT_MS;
    for (const schedule of [...this.#schedules.values()]) {
      try {
        await this.#doDue(schedule);
        const next = schedule.times.next(this.#later(schedule.row.lastTick));
        if (next) wait = Math.min(wait, Math.max(0, next.getTime() - this.#clock.now()));
      } catch (error) {
        this.#logger.error(`schedule ${schedule.name}: ${(error as Error).message}`);
        wait = Math.min(wait, RETRY_MS);
      }
    }
    return wait;
  }

  async #doDue(schedule: Schedule): Promise<void> {
    const { name, job, misfire, times, row } = schedule;
    const now = this.#clock.now();
    const tick = times.last(row.lastTick, new Date(now));
    if (!tick) return;
    const missed = now - tick.getTime() > MISSED_AFTER_MS && misfire === 'skip';
    const key = `schedule ${name} ${tick.toISOString()}`;
    const done = await this.#queue.enqueueTick(name, tick, missed ? undefined : { ...job, idempotencyKey: key });
    if (done === 'done') {
      schedule.row = await this.#queue.registerSchedule(name, schedule.definition, new Date(now));
      return;
    }
    schedule.row = { lastTick: tick, lastJobId: done === 'skipped' ? row.lastJobId : done.id };
    if (done === 'skipped') {
      const why = missed ? 'was missed' : 'comes while the job of an earlier one is under way';
      this.#logger.warn(`schedule ${name}: ${tick.toISOString()} ${why}: no job`);
    } else {
      this.#logger.info(`schedule ${name}: ${tick.toISOString()}: job ${done.id}`);
      this.#onJob(done);
    }
  }
}
