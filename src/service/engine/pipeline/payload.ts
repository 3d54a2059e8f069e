/** What stands in a job, and the checks of requests: at the request, and again when the job runs. */
import { encodeMeta, type JsonObject } from '../../../adapter/meta.js';
import { describe, fail, rejectUnknownKeys, requireBoolean, requireInteger, requireNumber } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import { mergeThresholds } from '../../golden/comparison.js';
import { requireText } from '../../jobs/arguments.js';
import type { Json } from '../../jobs/job.js';
import {
  type Caller,
  type FisherRequest,
  type GoldenOverrides,
  type GoldenRequest,
  JOB_KINDS,
  type JobKind,
  type TrainFileRequest,
  type TrainRequest,
} from '../operations.js';
import { requireAllowedFile } from './allowed-files.js';

export interface Requests {
  train: TrainRequest;
  'train-jsonl': TrainFileRequest;
  fisher: FisherRequest;
  validate: GoldenRequest;
}

export type JobPayload = { [kind in JobKind]: { kind: kind; request: Requests[kind]; caller: Caller } }[JobKind];

const CODE = 'ERR_INVALID_ARGUMENT';
const MAX_NAME = 60;
const MAX_CONTEXT_BYTES = 2 ** 16;
const MAX_METRICS = 100;

type Check = (name: string, value: unknown) => unknown;

const text: Check = (name, value) => {
  const given = requireText(name, value);
  return given.trim() === '' ? fail(CODE, name, value, 'text that says something') : given;
};
const flag: Check = (name, value) => requireBoolean(name, value);
const count =
  (min: number, max: number): Check =>
  (name, value) =>
    requireInteger(name, value, min, max, CODE);
const lambda: Check = (name, value) => {
  const ok = typeof value === 'number' && (value === 0 || (value >= 100 && value <= 1000));
  return ok ? value : fail(CODE, name, value, 'a number from 100 to 1000, or 0 for none');
};
const context: Check = (name, value) => {
  const { length } = requireStorable(name, value);
  if (length <= MAX_CONTEXT_BYTES) return value;
  throw new LorakeetError(CODE, `${name}: got ${length} bytes of JSON, expected at most ${MAX_CONTEXT_BYTES}`);
};
const metrics: Check = (name, value) => {
  requireStorable(name, value);
  const entries = Object.entries(value as object);
  if (entries.length > MAX_METRICS) fail(CODE, name, value, `at most ${MAX_METRICS} metrics`);
  for (const [metric, number] of entries) requireNumber(`${name}.${metric.slice(0, MAX_NAME)}`, number, {}, CODE);
  return value;
};
const thresholds: Check = (_, value) => mergeThresholds(value as object);
/** Replaced by the real path. */
const path: Check = (_, value) => value;

const GOLDEN = {
  goldenValidationEnabled: flag,
  goldenValidationRequired: flag,
  goldenSuitePath: path,
  goldenBaselineOutputPath: path,
  goldenThresholds: thresholds,
} satisfies { [key in keyof Required<GoldenOverrides>]: Check };

const CHECKS: { [kind in JobKind]: { [key in keyof Required<Requests[kind]>]: Check } } = {
  train: {
    ...GOLDEN,
    days: count(1, 3650),
    ewcLambda: lambda,
    force: flag,
    triggerSource: text,
    auditContext: context,
    datasetId: text,
    author: text,
    validationMetrics: metrics,
    idempotencyKey: text,
  },
  'train-jsonl': {
    ...GOLDEN,
    datasetPath: path,
    learningRate: (name, value) => requireNumber(name, value, { above: 0, max: 1 }, CODE),
    epochs: count(1, 1000),
    batchSize: count(1, 65536),
    ewcLambda: lambda,
    force: flag,
    idempotencyKey: text,
  },
  fisher: { adapterVersion: text, numSamples: count(1, 1e6), idempotencyKey: text },
  validate: {
    suitePath: path,
    adapterVersion: text,
    candidateOutputPath: path,
    baselineOutputPath: path,
    thresholds,
  },
};

/** The request, checked, its paths real ones below the allowed folders. As LearningService rejects. */
export async function requireRequest<K extends JobKind>(
  kind: K,
  request: unknown,
  allowedFolders: readonly string[],
): Promise<Requests[K]> {
  const given = requireObject('request', request);
  const checks: Record<string, Check> = CHECKS[kind];
  rejectUnknownKeys('request', given, Object.keys(checks));
  const checked: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue;
    checks[key](key, value);
    checked[key] = checks[key] === path ? await requireAllowedFile(allowedFolders, key, value) : value;
  }
  if (kind === 'train-jsonl' && checked.datasetPath === undefined) {
    fail(CODE, 'datasetPath', undefined, 'the path of a file');
  }
  return checked as unknown as Requests[K];
}

/** What a job has to do. Throws ERR_INVALID_ARGUMENT for a job of somebody else's. */
export function requirePayload(payload: Json): JobPayload {
  const { kind, request, caller } = (payload ?? {}) as Partial<JobPayload>;
  if (!JOB_KINDS.includes(kind as JobKind)) fail(CODE, 'payload.kind', kind, `one of ${JOB_KINDS.join(', ')}`);
  requireObject('payload.request', request);
  text('payload.caller.name', caller?.name);
  return { kind, request, caller } as JobPayload;
}

/** As deep as it will lie in a manifest; its bytes. */
function requireStorable(name: string, value: unknown): Buffer {
  const object = requireObject(name, value) as JsonObject;
  const bytes = encodeMeta(name, object);
  encodeMeta(name, { training: { trigger: { value: object } } });
  return bytes;
}

function requireObject(name: string, value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new LorakeetError(CODE, `${name}: got ${describe(value)}, expected an object`);
}
