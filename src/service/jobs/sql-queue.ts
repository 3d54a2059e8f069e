/** The queue in SQL that SQLite and Postgres both understand; what they differ in is behind SqlDialect. */
import { randomUUID } from 'node:crypto';
import { LorakeetError } from '../../errors.js';
import {
  type CompleteRequest,
  HOUR_MS,
  integer,
  requireClaim,
  requireDate,
  requireError,
  requireJsonOrNothing,
  requireQueue,
  requireRequest,
  requireStates,
  requireText,
} from './arguments.js';
import type {
  Claim,
  ClaimedJob,
  ClaimOptions,
  HeartbeatOptions,
  Job,
  JobListOptions,
  JobPage,
  JobQueue,
  JobRequest,
  JobState,
  Json,
  ScheduleRow,
} from './job.js';
import { type JobRow, jobOf, type Outcome } from './rows.js';

export type Query = <Row = JobRow>(sql: string, values?: (string | number | null)[]) => Promise<Row[]>;

export interface SqlDialect {
  /** Names of the tables, quoted as need be. */
  readonly jobs: string;
  readonly schedules: string;
  /** Ends a SELECT whose rows the transaction is about to change. */
  readonly forUpdate: string;
  /** Likewise, for rows that nobody else is changing. */
  readonly skipLocked: string;
  /** All of `work`, which may be run again, or nothing. It awaits nothing but its queries. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Until the transaction ends, nobody else claims from the queue. */
  lockQueue(query: Query, queue: string): Promise<void>;
  /** ms since 1970. */
  now(query: Query): Promise<number>;
  close(): Promise<void>;
}

const UNFINISHED = "('queued', 'running')";

export class SqlJobQueue implements JobQueue {
  readonly #sql: SqlDialect;

  protected constructor(dialect: SqlDialect) {
    this.#sql = dialect;
  }

  async enqueue(request: JobRequest): Promise<{ job: Job; created: boolean }> {
    const complete = requireRequest(request);
    const id = randomUUID();
    return this.#sql.transaction(async (query) => {
      const row = await this.#insert(query, id, complete);
      return { job: jobOf(row), created: row.id === id };
    });
  }

  async claim(queue: string, options: ClaimOptions): Promise<ClaimedJob | undefined> {
    requireQueue('queue', queue);
    const worker = requireText('options.worker', options?.worker);
    const leaseMs = requireLease(options.leaseMs);
    const maxRunning = integer('options.maxRunning', options.maxRunning ?? 1, 1, 1000);
    const token = randomUUID();
    const { jobs, skipLocked } = this.#sql;
    return this.#sql.transaction(async (query) => {
      await this.#sql.lockQueue(query, queue);
      // this transaction has been run before, and nobody knows how it ended
      const [mine] = await query(`SELECT * FROM ${jobs} WHERE token = $1`, [token]);
      if (mine) return { ...jobOf(mine), token };
      const now = await this.#sql.now(query);
      await this.#queueLost(query, queue, now);
      const count = `SELECT count(*) AS running FROM ${jobs} WHERE queue = $1 AND state = 'running'`;
      const [{ running }] = await query<{ running: number | string }>(count, [queue]);
      if (Number(running) >= maxRunning) return undefined;
      const select = `
        SELECT * FROM ${jobs} WHERE queue = $1 AND state = 'queued' AND run_at <= $2
        ORDER BY priority DESC, seq LIMIT 1 ${skipLocked}`;
      const [next] = await query(select, [queue, now]);
      if (!next) return undefined;
      const job = await this.#update(query, next.id, {
        ...{ state: 'running', token, worker, outcome: null, claims: next.claims + 1 },
        ...{ started_at: now, lease_ends_at: now + leaseMs },
      });
      return { ...job, token };
    });
  }

  async heartbeat(claim: Claim, options: HeartbeatOptions): Promise<Job> {
    const leaseMs = requireLease(options?.leaseMs);
    const progress = requireJsonOrNothing('options.progress', options.progress);
    const checkpoint = requireJsonOrNothing('options.checkpoint', options.checkpoint);
    return this.#withClaim(claim, undefined, (_, now) => ({
      lease_ends_at: now + leaseMs,
      ...(progress !== undefined && { progress }),
      ...(checkpoint !== undefined && { checkpoint }),
    }));
  }

  async complete(claim: Claim, result?: Json): Promise<Job> {
    const text = requireJsonOrNothing('result', result) ?? null;
    return this.#withClaim(claim, 'completed', (_, now) => ({ ...ended('completed', now), result: text }));
  }

  async fail(claim: Claim, error: string, { final = false } = {}): Promise<Job> {
    const text = requireError(error);
    return this.#withClaim(claim, 'failed', (row, now) => failed(row, now, text, final, backOffOf(row)));
  }

  async release(claim: Claim, checkpoint?: Json): Promise<Job> {
    const text = requireJsonOrNothing('checkpoint', checkpoint);
    return this.#withClaim(claim, 'released', (row, now) => ({
      ...(row.cancel_requested === 1 ? ended('cancelled', now) : queued(now)),
      ...(text !== undefined && { checkpoint: text }),
    }));
  }

  async cancel(id: string): Promise<Job> {
    return this.#withJob(id, async (query, row) => {
      if (row.state === 'cancelled') return jobOf(row);
      if (row.state === 'completed' || row.state === 'failed') throw wrongState(row, 'queued or running');
      const now = await this.#sql.now(query);
      const waits = row.state === 'queued' || (row.lease_ends_at as number) <= now;
      return this.#update(query, id, { cancel_requested: 1, ...(waits && ended('cancelled', now)) });
    });
  }

  async retry(id: string): Promise<Job> {
    return this.#withJob(id, async (query, row) => {
      if (row.state !== 'failed' && row.state !== 'cancelled') throw wrongState(row, 'failed or cancelled');
      const now = await this.#sql.now(query);
      return this.#update(query, id, { ...queued(now), failures: 0, cancel_requested: 0, finished_at: null });
    });
  }

  async get(id: string): Promise<Job | undefined> {
    requireText('id', id);
    const rows = await this.#sql.transaction((query) => query(`SELECT * FROM ${this.#sql.jobs} WHERE id = $1`, [id]));
    return rows.map(jobOf)[0];
  }

  async list(options: JobListOptions = {}): Promise<JobPage> {
    const { queue, states, limit = 50, before = Number.MAX_SAFE_INTEGER } = options;
    const values: (string | number)[] = [integer('options.before', before, 1, Number.MAX_SAFE_INTEGER)];
    const place = (value: string | number) => `$${values.push(value)}`;
    let where = 'seq < $1';
    if (queue !== undefined) where += ` AND queue = ${place(requireQueue('options.queue', queue))}`;
    if (states !== undefined) where += ` AND state IN (${requireStates(states).map(place).join(', ')})`;
    // one more tells whether there is another page
    const rows = place(integer('options.limit', limit, 1, 1000) + 1);
    const select = `SELECT * FROM ${this.#sql.jobs} WHERE ${where} ORDER BY seq DESC LIMIT ${rows}`;
    const found = await this.#sql.transaction((query) => query(select, values));
    const page = found.slice(0, limit);
    return { jobs: page.map(jobOf), next: found.length > limit ? Number(page[page.length - 1].seq) : undefined };
  }

  async counts(queue?: string): Promise<Record<JobState, number>> {
    const where = queue === undefined ? '' : 'WHERE queue = $1';
    const values = queue === undefined ? [] : [requireQueue('queue', queue)];
    const select = `SELECT state, count(*) AS jobs FROM ${this.#sql.jobs} ${where} GROUP BY state`;
    const rows = await this.#sql.transaction((query) =>
      query<{ state: JobState; jobs: number | string }>(select, values),
    );
    const counts = { queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0 };
    for (const { state, jobs } of rows) counts[state] = Number(jobs);
    return counts;
  }

  async deleteFinished(before: Date): Promise<number> {
    const remove = `DELETE FROM ${this.#sql.jobs} WHERE finished_at < $1 RETURNING id`;
    const ms = requireDate('before', before);
    return (await this.#sql.transaction((query) => query(remove, [ms]))).length;
  }

  async registerSchedule(name: string, definition: string, now: Date): Promise<ScheduleRow> {
    const values = [requireText('name', name), requireText('definition', definition), requireDate('now', now)];
    const { schedules } = this.#sql;
    const upsert = `
      INSERT INTO ${schedules} (name, definition, last_tick) VALUES ($1, $2, $3)
      ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, last_tick = excluded.last_tick
      WHERE ${schedules}.definition <> excluded.definition`;
    return this.#sql.transaction(async (query) => {
      await query(upsert, values);
      const select = `SELECT last_tick, last_job_id FROM ${schedules} WHERE name = $1`;
      const [row] = await query<{ last_tick: number; last_job_id: string | null }>(select, [name]);
      return { lastTick: new Date(row.last_tick), lastJobId: row.last_job_id ?? undefined };
    });
  }

  async enqueueTick(schedule: string, tick: Date, request: JobRequest | undefined): Promise<Job | 'skipped' | 'done'> {
    requireText('schedule', schedule);
    const ms = requireDate('tick', tick);
    const complete = request && requireRequest(request);
    const { schedules, jobs } = this.#sql;
    const id = randomUUID();
    return this.#sql.transaction(async (query) => {
      const advance = `UPDATE ${schedules} SET last_tick = $2 WHERE name = $1 AND last_tick < $2 RETURNING last_job_id`;
      const [row] = await query<{ last_job_id: string | null }>(advance, [schedule, ms]);
      if (!row) return 'done';
      const busy = `SELECT id FROM ${jobs} WHERE id = $1 AND state IN ${UNFINISHED}`;
      if (!complete || (await query(busy, [row.last_job_id])).length > 0) return 'skipped';
      const job = await this.#insert(query, id, complete);
      await query(`UPDATE ${schedules} SET last_job_id = $2 WHERE name = $1`, [schedule, job.id]);
      return jobOf(job);
    });
  }

  close(): Promise<void> {
    return this.#sql.close();
  }

  /** The job, or that which has the same key. */
  async #insert(query: Query, id: string, request: CompleteRequest): Promise<JobRow> {
    const { queue, idempotencyKey, priority, payload, maxAttempts, backOffMs } = request;
    const now = await this.#sql.now(query);
    const insert = `
      INSERT INTO ${this.#sql.jobs}
        (id, queue, idempotency_key, state, priority, payload, max_attempts, back_off_ms, created_at, run_at)
      VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING`;
    await query(insert, [id, queue, idempotencyKey, priority, payload, maxAttempts, backOffMs, now]);
    const select = `SELECT * FROM ${this.#sql.jobs} WHERE id = $1 OR (queue = $2 AND idempotency_key = $3)`;
    return (await query(select, [id, queue, idempotencyKey]))[0];
  }

  /** What workers that have gone silent leave behind. */
  async #queueLost(query: Query, queue: string, now: number): Promise<void> {
    const { jobs, forUpdate } = this.#sql;
    const select = `SELECT * FROM ${jobs} WHERE queue = $1 AND state = 'running' AND lease_ends_at <= $2 ${forUpdate}`;
    for (const row of await query(select, [queue, now])) {
      const text = `worker ${row.worker} went silent: its lease ended at ${new Date(row.lease_ends_at as number).toISOString()}`;
      await this.#update(query, row.id, { ...failed(row, now, text, false, 0), outcome: 'lost' });
    }
  }

  async #withClaim(
    claim: Claim,
    outcome: Outcome | undefined,
    change: (row: JobRow, now: number) => Partial<JobRow>,
  ): Promise<Job> {
    const { id, token } = requireClaim(claim);
    return this.#withJob(id, async (query, row) => {
      // it has been said before, and the answer was lost
      if (row.token === token && row.outcome !== null && row.outcome === outcome) return jobOf(row);
      if (row.token !== token || row.outcome !== null || row.state !== 'running') {
        const text = `job ${id} is not this claim's any more: it is ${row.state}, last claimed by ${row.worker}`;
        throw new LorakeetError('ERR_JOB_LOST', text);
      }
      const changes = change(row, await this.#sql.now(query));
      return this.#update(query, id, outcome ? { ...changes, outcome } : changes);
    });
  }

  async #withJob(id: string, work: (query: Query, row: JobRow) => Promise<Job>): Promise<Job> {
    requireText('id', id);
    return this.#sql.transaction(async (query) => {
      const select = `SELECT * FROM ${this.#sql.jobs} WHERE id = $1 ${this.#sql.forUpdate}`;
      const [row] = await query(select, [id]);
      if (!row) throw new LorakeetError('ERR_JOB_NOT_FOUND', `id: got ${id}, expected that of a job`);
      return work(query, row);
    });
  }

  async #update(query: Query, id: string, changes: Partial<JobRow>): Promise<Job> {
    const columns = Object.keys(changes).map((column, i) => `${column} = $${i + 2}`);
    const update = `UPDATE ${this.#sql.jobs} SET ${columns.join(', ')} WHERE id = $1 RETURNING *`;
    return jobOf((await query(update, [id, ...Object.values(changes)]))[0]);
  }
}

function requireLease(value: unknown): number {
  return integer('options.leaseMs', value, 1, 24 * HOUR_MS);
}

function ended(state: JobState, now: number): Partial<JobRow> {
  return { state, finished_at: now, lease_ends_at: null };
}

function queued(runAt: number): Partial<JobRow> {
  return { state: 'queued', run_at: runAt, lease_ends_at: null };
}

function failed(row: JobRow, now: number, error: string, final: boolean, backOffMs: number): Partial<JobRow> {
  const failures = row.failures + 1;
  const over = final || failures >= row.max_attempts;
  const next = over ? ended('failed', now) : queued(now + backOffMs);
  return { ...(row.cancel_requested === 1 ? ended('cancelled', now) : next), failures, error };
}

function backOffOf({ back_off_ms, failures }: JobRow): number {
  return Math.min(HOUR_MS, back_off_ms * 2 ** failures);
}

function wrongState({ id, state }: JobRow, expected: string): LorakeetError {
  return new LorakeetError('ERR_INVALID_STATE', `job ${id}: it is ${state}, expected ${expected}`);
}
