/** What the workers of the service do: the jobs of training, importance and validation. */
import { LorakeetError } from '../../../errors.js';
import type { Job, Json } from '../../jobs/job.js';
import type { JobContext, JobHandler } from '../../jobs/worker.js';
import type { TrainingResult } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { runFisher } from './fisher-job.js';
import { requirePayload, requireRequest } from './payload.js';
import type { TrainingJob } from './plan.js';
import { type RunOptions, runTraining } from './run.js';
import { validateGolden } from './validation.js';

/** What trying again does not mend. */
const FINAL = ['ERR_PATH_NOT_ALLOWED', 'ERR_FORMAT_CORRUPT', 'ERR_FORMAT_UNSUPPORTED', 'ERR_VERSION_NOT_FOUND'];

/** For JobWorkerOptions.isFinal. */
export function isFinalFailure(error: unknown): boolean {
  return error instanceof LorakeetError && (error.code.startsWith('ERR_INVALID_') || FINAL.includes(error.code));
}

/**
 * Handles jobs whose payload is { kind, request, caller }. A job may be handled any number of times, by any number of workers
 * one after another: it makes one version. Checkpoints of training are kept every 30 s, and when the worker stops.
 */
export function createJobHandler(parts: ServiceParts, options: RunOptions = {}): JobHandler {
  return async (job, context) => {
    const payload = requirePayload(job.payload);
    const { allowedFolders } = parts.config.service;
    if (payload.kind === 'fisher') {
      const request = await requireRequest(payload.kind, payload.request, allowedFolders);
      return toJson(await runFisher(parts, job, request, context));
    }
    if (payload.kind === 'validate') {
      const { signal } = context;
      return toJson(await validateGolden(parts, payload.request, { signal }));
    }
    const request = await requireRequest(payload.kind, payload.request, allowedFolders);
    return toJson(await train(parts, job, { ...payload, request } as TrainingJob, context, options));
  };
}

async function train(
  parts: ServiceParts,
  job: Job,
  payload: TrainingJob,
  context: JobContext,
  options: RunOptions,
): Promise<TrainingResult> {
  const { events, clock } = parts;
  const { kind } = payload;
  const began = clock.now();
  const facts = { job_id: job.id, kind, attempt: job.claims };
  log(parts, 'info', 'started', { ...facts, caller: payload.caller.name, request: payload.request });
  events.trainingStarted(kind);
  let result: TrainingResult;
  try {
    result = await runTraining(parts, job, payload, context, options);
  } catch (error) {
    const failure = { ...facts, error: (error as Error).message, code: (error as LorakeetError).code };
    const duration = { duration_seconds: (clock.now() - began) / 1000 };
    if (context.signal.aborted) log(parts, 'info', 'interrupted', { ...failure, ...duration });
    else {
      const isLast = isFinalFailure(error) || job.failures + 1 >= job.maxAttempts;
      log(parts, 'error', 'failed', { ...failure, ...duration, final: isLast });
      if (isLast) events.trainingFinished({ kind, status: 'failed' });
    }
    throw error;
  }
  const { status, ewcLambda } = result;
  log(parts, 'info', status === 'skipped' ? 'skipped' : 'completed', { ...facts, ...fieldsOf(result) });
  events.trainingFinished({ kind, status, result, ...(ewcLambda !== undefined && { ewcLambda }) });
  return result;
}

function fieldsOf(result: TrainingResult) {
  const { decision, golden, diagnostics } = result;
  return {
    reason: result.reason,
    version: result.version,
    approved: result.approved,
    deployed: result.deployed,
    start_version: result.startVersion,
    notes: result.notes,
    dataset_id: result.datasetId,
    dataset_size: result.datasetSize,
    dropped: diagnostics?.dropReasons,
    thresholds: { minimum_samples: decision.minimumSamples },
    decision: { force: decision.force, enough_samples: decision.enoughSamples, train: decision.train },
    initial_loss: result.initialLoss,
    final_loss: result.finalLoss,
    ewc_loss: result.ewcLoss,
    ewc_lambda: result.ewcLambda,
    steps: result.steps,
    golden_objections: golden?.objections,
    duration_seconds: result.durationSeconds,
  };
}

function log({ logger }: ServiceParts, level: 'info' | 'error', event: string, fields: object): void {
  logger[level](`learning_engine.training.${event} ${JSON.stringify(fields)}`);
}

function toJson(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
