/** Jobs and training as lines. */
import type {
  FisherResult,
  JobProgress,
  LastRun,
  TrainingResult,
  TrainingStatus,
} from '../../service/engine/operations.js';
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
    ...resultFields(job.result as Outcome | undefined),
  ];
}

/** What jobs of training and of Fisher information end with; of each only parts. */
type Outcome = Partial<Omit<TrainingResult & FisherResult, 'status'>> & { status?: string };

export function resultFields(result: Outcome | undefined): Field[] {
  if (!result) return [];
  const { golden, notes = [] } = result;
  return [
    ['result', result.status],
    ['reason', result.reason],
    ['version', result.version ?? result.adapterVersion],
    ['approved', result.approved],
    ['deployed', result.deployed],
    ['objections', golden && golden.objections.length > 0 ? golden.objections.join('; ') : undefined],
    ['samples', result.datasetSize ?? result.numSamples],
    ['loss before', decimal(result.initialLoss)],
    ['loss after', decimal(result.finalLoss)],
    ['EWC loss', decimal(result.ewcLoss)],
    ['steps', result.steps],
    ['importance', result.fisherVersion],
    ['seconds', result.durationSeconds?.toFixed(1)],
    ['notes', notes.length > 0 ? notes.join('; ') : undefined],
  ];
}

/** The job may be gone from the list, or have been followed by one of another kind. */
function runFields(run: LastRun): Field[] {
  return [['job', run.jobId], ['finished', run.finishedAt], ['error', run.error], ...resultFields(run)];
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
    ...section('last training', lastRun && lastRun.jobId !== lastJob?.id ? runFields(lastRun) : []),
    ...section('schedules', runs),
  ];
}
