/** A job as it lies in a table. Times are milliseconds since 1970, JSON is text. */
import type { Job, JobState, Json } from './job.js';

export interface JobRow {
  seq: number | string;
  id: string;
  queue: string;
  idempotency_key: string | null;
  state: JobState;
  priority: number;
  payload: string;
  progress: string | null;
  checkpoint: string | null;
  result: string | null;
  error: string | null;
  max_attempts: number;
  back_off_ms: number;
  failures: number;
  claims: number;
  token: string | null;
  worker: string | null;
  /** How the claim of `token` ended, so that the same said twice is no mistake. */
  outcome: Outcome | null;
  cancel_requested: number;
  created_at: number;
  run_at: number;
  started_at: number | null;
  finished_at: number | null;
  lease_ends_at: number | null;
}

export type Outcome = 'completed' | 'failed' | 'released' | 'lost';

/** The columns of both tables but `seq`; the dialects differ in that only. */
export const JOB_COLUMNS = `
  id text NOT NULL UNIQUE,
  queue text NOT NULL,
  idempotency_key text,
  state text NOT NULL,
  priority integer NOT NULL,
  payload text NOT NULL,
  progress text,
  checkpoint text,
  result text,
  error text,
  max_attempts integer NOT NULL,
  back_off_ms integer NOT NULL,
  failures integer NOT NULL DEFAULT 0,
  claims integer NOT NULL DEFAULT 0,
  token text,
  worker text,
  outcome text,
  cancel_requested integer NOT NULL DEFAULT 0,
  created_at double precision NOT NULL,
  run_at double precision NOT NULL,
  started_at double precision,
  finished_at double precision,
  lease_ends_at double precision,
  UNIQUE (queue, idempotency_key)`;

export const SCHEDULE_COLUMNS = `
  name text PRIMARY KEY,
  definition text NOT NULL,
  last_tick double precision NOT NULL,
  last_job_id text`;

export function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    queue: row.queue,
    state: row.state,
    payload: JSON.parse(row.payload),
    idempotencyKey: row.idempotency_key ?? undefined,
    priority: row.priority,
    maxAttempts: row.max_attempts,
    backOffMs: row.back_off_ms,
    failures: row.failures,
    claims: row.claims,
    worker: row.worker ?? undefined,
    progress: jsonOf(row.progress),
    checkpoint: jsonOf(row.checkpoint),
    result: jsonOf(row.result),
    error: row.error ?? undefined,
    cancelRequested: row.cancel_requested === 1,
    createdAt: new Date(row.created_at),
    runAt: new Date(row.run_at),
    startedAt: dateOf(row.started_at),
    finishedAt: dateOf(row.finished_at),
    leaseEndsAt: dateOf(row.lease_ends_at),
  };
}

function jsonOf(text: string | null): Json | undefined {
  return text === null ? undefined : JSON.parse(text);
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
