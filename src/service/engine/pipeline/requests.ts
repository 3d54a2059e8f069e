/** What the service answers about training: jobs are made here and done by a worker, of this process or another. */
import type { Job, JobState, Json } from '../../jobs/job.js';
import type { Caller, JobKind, LastRun, LearningService, TrainingStatus } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { type Requests, requirePayload, requireRequest } from './payload.js';
import { validateGolden } from './validation.js';

export type TrainingRequests = Pick<
  LearningService,
  'train' | 'trainFile' | 'calculateFisher' | 'validate' | 'trainingStatus'
>;

const ENDED: readonly JobState[] = ['completed', 'failed', 'cancelled'];
const PAGE = 50;

export function createTrainingRequests(parts: ServiceParts): TrainingRequests {
  const { versions, queue, queueName, config } = parts;

  async function enqueue<K extends JobKind>(kind: K, request: Requests[K], caller: Caller): Promise<Job> {
    const { idempotencyKey, ...rest } = request as Requests[K] & { idempotencyKey?: string };
    const payload = JSON.parse(JSON.stringify({ kind, request: rest, caller: { name: caller.name } })) as Json;
    requirePayload(payload);
    const { job } = await queue.enqueue({
      queue: queueName,
      payload,
      ...(idempotencyKey !== undefined && { idempotencyKey }),
    });
    parts.wakeWorker();
    return job;
  }

  const check = <K extends JobKind>(kind: K, request: Requests[K]) =>
    requireRequest(kind, request, config.service.allowedFolders);

  return {
    async train(request, caller) {
      return enqueue('train', await check('train', request), caller);
    },

    async trainFile(request, caller) {
      return enqueue('train-jsonl', await check('train-jsonl', request), caller);
    },

    async calculateFisher(request, caller) {
      const checked = await check('fisher', request);
      // what active points to now
      const adapterVersion = await versions.resolve(checked.adapterVersion ?? 'active');
      return enqueue('fisher', { ...checked, adapterVersion }, caller);
    },

    validate: (request, options) => validateGolden(parts, request, options),

    async trainingStatus(): Promise<TrainingStatus> {
      const running = await newest(parts, ['running'], () => true);
      const lastJob = await newest(parts, ENDED, () => true);
      const lastTraining = await newest(parts, ENDED, isTraining);
      return {
        isTraining: running !== undefined && isTraining(running),
        currentJob: running,
        lastJob,
        lastRun: lastTraining && lastRunOf(lastTraining),
        queue: await queue.counts(queueName),
        schedules: parts.scheduler?.status() ?? [],
      };
    },
  };
}

/** That fits, of those that ended last the one that ended last. */
async function newest(
  { queue, queueName }: ServiceParts,
  states: readonly JobState[],
  fits: (job: Job) => boolean,
): Promise<Job | undefined> {
  let before: number | undefined;
  do {
    const page = await queue.list({ queue: queueName, states, limit: PAGE, ...(before !== undefined && { before }) });
    const jobs = page.jobs.filter(fits);
    if (jobs.length > 0) return jobs.reduce((last, job) => (endOf(job) > endOf(last) ? job : last));
    before = page.next;
  } while (before !== undefined);
  return undefined;
}

const endOf = ({ finishedAt, startedAt }: Job): number => (finishedAt ?? startedAt)?.getTime() ?? 0;

function isTraining({ payload }: Job): boolean {
  const { kind } = (payload ?? {}) as { kind?: string };
  return kind === 'train' || kind === 'train-jsonl';
}

function lastRunOf({ id, state, result, error, finishedAt }: Job): LastRun {
  const whole = (state === 'completed' ? (result ?? {}) : {}) as Partial<LastRun>;
  const status = state === 'completed' ? (whole.status ?? 'success') : (state as 'failed' | 'cancelled');
  const told = state !== 'completed' && error !== undefined ? { error } : {};
  return { ...whole, jobId: id, status, finishedAt: (finishedAt ?? new Date(0)).toISOString(), ...told };
}
