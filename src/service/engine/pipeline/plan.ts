/** What a job of training has to do, once its request and the configuration are put together. */
import type { ServiceConfig } from '../../config/keys.js';
import { lastDays } from '../../feedback/feedback-store.js';
import type { Job } from '../../jobs/job.js';
import type { TrainFileRequest, TrainRequest } from '../operations.js';
import type { JobPayload } from './payload.js';

export type TrainingJob = Extract<JobPayload, { kind: 'train' | 'train-jsonl' }>;

/** From `since` on, before `until`; ISO 8601. */
export interface Window {
  since: string;
  until: string;
}

/** Of versions, unless the request names somebody. */
export const AUTHOR = 'learning-engine';

export interface TrainingPlan {
  datasetId: string;
  author: string;
  force: boolean;
  /** Of feedback; undefined for a file. */
  days: number | undefined;
  window: Window | undefined;
  /** Of the feedback that is not to be forgotten; undefined: there can be none. */
  history: Window | undefined;
  learningRate: number;
  epochs: number;
  /** Examples that go through the model together. */
  batchSize: number;
  /** 0: nothing is held on to. */
  ewcLambda: number;
}

export function planOf(job: Job, payload: TrainingJob, begunAt: string, config: ServiceConfig): TrainingPlan {
  const { training, ewc } = config;
  const until = new Date(begunAt);
  const isFeedback = payload.kind === 'train';
  const days = isFeedback ? (payload.request.days ?? training.days) : undefined;
  const window = days === undefined ? undefined : windowOf(lastDays(days, until));
  const since = lastDays(ewc.fisherDays, until).since.toISOString();
  const history = { since, until: window?.since ?? begunAt };
  const ownName = isFeedback ? `feedback_${days}d_${job.id}` : `jsonl_${job.id}`;
  const asked: Partial<TrainRequest> = isFeedback ? payload.request : {};
  const file: Partial<TrainFileRequest> = isFeedback ? {} : payload.request;
  return {
    datasetId: asked.datasetId ?? ownName,
    author: asked.author ?? AUTHOR,
    force: payload.request.force ?? false,
    days,
    window,
    history: history.since < history.until ? history : undefined,
    learningRate: file.learningRate ?? training.learningRate,
    epochs: file.epochs ?? training.epochs,
    batchSize: file.batchSize ?? training.batchSize,
    ewcLambda: payload.request.ewcLambda ?? (ewc.enabled ? ewc.lambda : 0),
  };
}

/** As a feedback store takes it. */
export function datesOf({ since, until }: Window): { since: Date; until: Date } {
  return { since: new Date(since), until: new Date(until) };
}

function windowOf({ since, until }: { since: Date; until: Date }): Window {
  return { since: since.toISOString(), until: until.toISOString() };
}
