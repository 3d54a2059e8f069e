/** Jobs and training as lines. */
import type { JobProgress, TrainingResult, TrainingStatus } from '../../service/engine/operations.js';
import type { Job } from '../../service/jobs/job.js';
import { decimal, type Field, fields, table } from '../text.js';

export function kindOf({ payload }: Job): string | undefined {
  return (payload as { kind?: string } | null)?.kind;
}

export function jobFields(job: Job): Field[] {
  const progress = job.progress as unknown as JobProgress | undefined;
  const isRunning = job.state === 'running' && progress;
  return [
    ['job', job.id],
    ['kind', kindOf(job)],
    ['state', job.cancelRequested && job.state === 'running' ? 'running, to be cancelled' : job.state],
    ['created', job.createdAt],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    ['worker', job.worker],
    ['failures', job.failures > 0 ? `${job.failures} of at most ${job.maxAttempts} attempts` : undefined],
    ['error', job.error],
    ['progress', isRunning ? `${progress.phase} ${progress.done}/${progress.total}` : undefined],
    ['loss', isRunning ? decimal(progress.loss) : undefined],
    ...resultFields(job.result as Partial<TrainingResult> | undefined),
  ];
}

/** Of training; other jobs have parts of it. */
export function resultFields(
  result: (Partial<Omit<TrainingResult, 'status'>> & { status?: string }) | undefined,
): Field[] {
  if (!result) return [];
  const { approved, golden } = result;
  return [
    ['result', result.status],
    ['reason', result.reason],
    ['version', result.version],
    ['approved', approved],
    ['objections', golden && golden.objections.length > 0 ? golden.objections.join('; ') : undefined],
    ['samples', result.datasetSize],
    ['loss before', decimal(result.initialLoss)],
    ['loss after', decimal(result.finalLoss)],
    ['EWC loss', decimal(result.ewcLoss)],
    ['steps', result.steps],
    ['seconds', result.durationSeconds === undefined ? undefined : result.durationSeconds.toFixed(1)],
  ];
}

export function jobTable(jobs: readonly Job[]): string[] {
  const rows = jobs.map((job) => [job.id, kindOf(job), job.state, job.createdAt, job.finishedAt, job.error]);
  return table(['job', 'kind', 'state', 'created', 'finished', 'error'], rows, 'no jobs');
}

export function trainingLines({
  isTraining,
  currentJob,
  lastJob,
  lastRun,
  queue,
  schedules,
}: TrainingStatus): string[] {
  const section = (title: string, list: readonly Field[]) => (list.length === 0 ? [] : ['', title, ...fields(list)]);
  const waiting = Object.entries(queue).map(([state, count]) => `${count} ${state}`);
  const runs = schedules.map(
    (one): Field => [one.name, `next ${one.nextRunAt?.toISOString() ?? 'never'} (${one.cron} ${one.timeZone})`],
  );
  return [
    ...fields([
      ['training', isTraining],
      ['jobs', waiting.join(', ')],
    ]),
    ...section('current job', currentJob ? jobFields(currentJob) : []),
    ...section('last job', lastJob ? jobFields(lastJob) : []),
    ...section('last run', lastRun && !lastJob ? [['error', lastRun.error], ...resultFields(lastRun)] : []),
    ...section('schedules', runs),
  ];
}
