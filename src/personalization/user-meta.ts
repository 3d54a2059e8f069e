/** What is kept about a user's adapter beside its numbers: identity, dates, statistics. Travels as the adapter's meta. */
import type { JsonObject } from '../adapter/meta.js';
import { fail, requireInteger, requireNumber } from '../checks.js';
import { LorakeetError, type LorakeetErrorCode } from '../errors.js';

/** AdapterMetadata and the adapter's identity, flat, with times in ms since 1970. */
export interface UserMeta {
  userId: string;
  version: number;
  createdAt: number;
  updatedAt: number;
  lastTrainedAt: number;
  totalSamples: number;
  avgLoss: number;
  learningRate: number;
  lastBatch?: { lossBefore: number; lossAfter: number };
  avgInferenceMs: number;
}

/** Largest time that a Date can hold (ECMAScript, "Time Values and Time Range"). */
const MAX_TIME_MS = 8.64e15;

const LOSS_DECAY = 0.9;

export function newUserMeta(userId: string, learningRate: number, now: number, avgInferenceMs = 0): UserMeta {
  return {
    userId,
    version: 1,
    createdAt: now,
    updatedAt: now,
    lastTrainedAt: now,
    totalSamples: 0,
    avgLoss: 0,
    learningRate,
    avgInferenceMs,
  };
}

/**
 * The moving average of batch losses after one more, `updates` having gone into it so far. It is bias-corrected as Adam's
 * moments are (Kingma & Ba 2015, §3), so it starts at the first loss and not near zero.
 */
export function nextAverageLoss(average: number, updates: number, loss: number): number {
  const decay = LOSS_DECAY ** updates;
  const uncorrected = LOSS_DECAY * average * (1 - decay) + (1 - LOSS_DECAY) * loss;
  return uncorrected / (1 - LOSS_DECAY * decay);
}

export function toJson(meta: UserMeta): JsonObject {
  return { ...meta };
}

/** The UserMeta that a file holds; ERR_ADAPTER_CORRUPT if it is none. Fields that it does not know are left out. */
export function readUserMeta(json: JsonObject): UserMeta {
  const meta = requireUserMeta('adapter.meta', json as unknown as UserMeta, 'ERR_ADAPTER_CORRUPT');
  if (typeof meta.userId !== 'string' || meta.userId === '') {
    fail('ERR_ADAPTER_CORRUPT', 'adapter.meta.userId', meta.userId, 'a string that is not empty');
  }
  return meta;
}

/** A copy with every field but userId checked. */
export function requireUserMeta(name: string, meta: UserMeta, code: LorakeetErrorCode): UserMeta {
  const time = (field: 'createdAt' | 'updatedAt' | 'lastTrainedAt') =>
    requireInteger(`${name}.${field}`, meta[field], -MAX_TIME_MS, MAX_TIME_MS, code);
  const amount = (field: 'avgLoss' | 'learningRate' | 'avgInferenceMs') =>
    requireNumber(`${name}.${field}`, meta[field], { min: 0 }, code);
  return {
    userId: meta.userId,
    version: requireInteger(`${name}.version`, meta.version, 1, 2 ** 32 - 1, code),
    createdAt: time('createdAt'),
    updatedAt: time('updatedAt'),
    lastTrainedAt: time('lastTrainedAt'),
    totalSamples: requireInteger(`${name}.totalSamples`, meta.totalSamples, 0, Number.MAX_SAFE_INTEGER, code),
    avgLoss: amount('avgLoss'),
    learningRate: amount('learningRate'),
    ...(meta.lastBatch !== undefined && { lastBatch: requireLastBatch(`${name}.lastBatch`, meta.lastBatch, code) }),
    avgInferenceMs: amount('avgInferenceMs'),
  };
}

function requireLastBatch(name: string, value: unknown, code: LorakeetErrorCode): UserMeta['lastBatch'] {
  if (typeof value !== 'object' || value === null) {
    throw new LorakeetError(code, `${name}: got ${value}, expected { lossBefore, lossAfter }`);
  }
  const { lossBefore, lossAfter } = value as Record<string, unknown>;
  return {
    lossBefore: requireNumber(`${name}.lossBefore`, lossBefore, { min: 0 }, code),
    lossAfter: requireNumber(`${name}.lossAfter`, lossAfter, { min: 0 }, code),
  };
}
