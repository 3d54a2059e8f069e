/** Jobs that are waited for, with what they say of themselves on the way. */
import { setTimeout as delay } from 'node:timers/promises';
import { LorakeetError } from '../errors.js';
import type { LearningClient } from '../service/client/learning-client.js';
import type { JobProgress, TrainingResult } from '../service/engine/operations.js';
import type { Job } from '../service/jobs/job.js';
import { toWire } from '../service/wire.js';
import type { Context } from './context.js';
import { exitCode } from './exit-codes.js';
import { openProgress } from './progress.js';
import { jobFields } from './render/jobs.js';
import { fields } from './text.js';

const POLL_MS = 500;
/** A service that is started anew is waited for, too. */
const PATIENCE_MS = 60_000;

/** Resolves when the job has ended. Rejects with ERR_ABORTED when interrupted; the job goes on. */
export async function waitForJob(context: Context, client: LearningClient, id: string): Promise<Job> {
  const { signal } = context;
  const progress = await openProgress(context.surroundings.stderr);
  try {
    let heard = Number.NEGATIVE_INFINITY;
    for (;;) {
      const job = await client.job(id, { signal }).catch((error) => {
        const isAway = error instanceof LorakeetError && error.code === 'ERR_SERVICE_UNAVAILABLE';
        if (!isAway || performance.now() - heard > PATIENCE_MS) throw error;
        return undefined;
      });
      if (job) heard = performance.now();
      if (job?.finishedAt !== undefined) return job;
      if (!job) progress.update('waiting for the service', 0, 0);
      else if (job.state === 'running' && job.progress) {
        const { phase, done, total, loss } = job.progress as unknown as JobProgress;
        progress.update(phase, done, total, loss === undefined ? undefined : `loss ${loss.toFixed(4)}`);
      } else progress.update(job.state, 0, 0);
      await delay(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new LorakeetError('ERR_ABORTED', `interrupted; the job goes on: lorakeet jobs wait ${id}`, { cause: error });
  } finally {
    progress.stop();
  }
}

/** What a command that starts a job says: the job, or with `wait` how it ended. */
export async function printJob(context: Context, client: LearningClient, job: Job, wait?: boolean): Promise<number> {
  if (!wait) {
    context.print(toWire(job), () => fields(jobFields(job)));
    if (job.finishedAt === undefined) context.note(`wait for it: lorakeet jobs wait ${job.id}`);
    return exitCode('ok');
  }
  const ended = await waitForJob(context, client, job.id);
  context.print(toWire(ended), () => fields(jobFields(ended)));
  return verdictOf(ended);
}

/** A run that had too little to learn from is no failure; one whose version the gate did not approve is. */
export function verdictOf({ state, result }: Job): number {
  if (state !== 'completed') return exitCode('failed');
  return (result as Partial<TrainingResult> | undefined)?.approved === false ? exitCode('failed') : exitCode('ok');
}
