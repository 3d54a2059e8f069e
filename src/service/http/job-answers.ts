/** Wire forms of jobs, and of training. */
import { z } from 'zod';
import type { FisherResult, JobProgress, LastRun, TrainingResult, TrainingStatus } from '../engine/operations.js';
import type { Diagnostics } from '../feedback/training-examples.js';
import { JOB_STATES, type Job, type JobPage } from '../jobs/job.js';
import type { ScheduleStatus } from '../scheduler/scheduler.js';
import { about, count, instant, named } from './forms.js';
import { goldenReport } from './golden-answers.js';
import { JOB_REQUEST_SHAPE } from './requests.js';
import type { WireShape } from './wire-shape.js';

const counts = z.record(z.string(), count);
const numbers = z.array(z.number());

const diagnostics = z.object({
  raw_examples: count,
  kept_examples: count,
  dropped_examples: count,
  drop_reasons: counts,
  feedback_distribution: counts,
  intent_distribution: counts,
  project_distribution: counts,
} satisfies WireShape<Diagnostics>);

const progress = z.looseObject({
  phase: z.enum(['load', 'fisher', 'train', 'validate', 'publish']),
  done: count,
  total: count,
  loss: z.number().optional(),
  ewc_loss: z.number().optional(),
  grad_norm: z.number().optional(),
  tokens_per_second: z.number().optional(),
  curve: about(
    'Of the steps so far, at most 500 points.',
    z.object({ step: numbers, loss: numbers, ewc_loss: numbers }).optional(),
  ),
} satisfies WireShape<JobProgress>);

const trainingResult = {
  status: z.enum(['success', 'skipped']),
  reason: z.string().optional(),
  version: z.string().optional(),
  approved: z.boolean().optional(),
  deployed: z.boolean().optional(),
  start_version: about('That it was trained from; null: a new adapter.', z.string().nullish()),
  notes: z.array(z.string()).optional(),
  dataset_id: z.string(),
  dataset_size: count,
  diagnostics: diagnostics.optional(),
  decision: z.object({
    force: z.boolean(),
    enough_samples: z.boolean(),
    train: z.boolean(),
    minimum_samples: count,
  }),
  initial_loss: z.number().optional(),
  final_loss: z.number().optional(),
  ewc_loss: z.number().optional(),
  ewc_lambda: z.number().optional(),
  importance: z
    .object({
      source: z.enum(['computed', 'calculated', 'carried', 'none']),
      samples: count.optional(),
      fisher_version: z.string().optional(),
    })
    .optional(),
  steps: count.optional(),
  duration_seconds: z.number(),
  golden: goldenReport.optional(),
} satisfies WireShape<TrainingResult>;

const fisherResult = {
  status: z.enum(['success', 'skipped']),
  reason: z.string().optional(),
  adapter_version: z.string(),
  fisher_version: z.string().optional(),
  num_samples: count,
  num_parameters: count,
  duration_seconds: z.number(),
} satisfies WireShape<FisherResult>;

const { status: _, ...outcome } = trainingResult;
const lastRun = z.object({
  ...z.object(outcome).partial().shape,
  job_id: z.string(),
  status: z.enum(['success', 'skipped', 'failed', 'cancelled']),
  finished_at: instant,
  error: z.string().optional(),
} satisfies WireShape<LastRun>);

export const job = named(
  'Job',
  z.object({
    id: z.string(),
    queue: z.string(),
    state: z.enum(JOB_STATES),
    payload: about(
      'What was asked, and by whom.',
      z
        .looseObject({
          kind: z.string().optional(),
          request: z.looseObject(JOB_REQUEST_SHAPE).partial().optional(),
          caller: z.looseObject({ name: z.string() }).optional(),
        })
        .nullable(),
    ),
    idempotency_key: z.string().optional(),
    priority: z.int(),
    max_attempts: count,
    back_off_ms: z.number(),
    failures: about('Attempts that failed.', count),
    claims: about('How often a worker took it.', count),
    worker: z.string().optional(),
    progress: progress.optional(),
    checkpoint: about('What the next attempt goes on from.', z.unknown().optional()),
    result: about(
      'Of training, of Fisher information, or the report of the gate, by the kind of the job.',
      z
        .looseObject({ ...goldenReport.shape, ...fisherResult, ...trainingResult })
        .partial()
        .optional(),
    ),
    error: about('Of the last attempt that failed.', z.string().optional()),
    cancel_requested: z.boolean(),
    created_at: instant,
    run_at: about('When it may be claimed, at the earliest.', instant),
    started_at: instant.optional(),
    finished_at: instant.optional(),
    lease_ends_at: instant.optional(),
  } satisfies WireShape<Job>),
);

export const jobPage = named(
  'JobPage',
  z.object({
    jobs: z.array(job),
    next: about('To be given as before for the next page; not there on the last.', count.optional()),
  } satisfies WireShape<JobPage>),
);

export const started = named(
  'Started',
  z.object({ status: z.literal('started'), message: z.string(), job_id: z.string(), job }),
);

const schedule = z.object({
  name: z.string(),
  cron: z.string(),
  time_zone: z.string(),
  next_run_at: instant.optional(),
  last_tick_at: instant,
  last_job_id: z.string().optional(),
} satisfies WireShape<ScheduleStatus>);

export const trainingStatus = named(
  'TrainingStatus',
  z.object({
    is_training: z.boolean(),
    current_job: job.optional(),
    last_job: job.optional(),
    last_run: lastRun.optional(),
    queue: about('How many jobs are in each state.', z.record(z.enum(JOB_STATES), count)),
    schedules: z.array(schedule),
  } satisfies WireShape<TrainingStatus>),
);
