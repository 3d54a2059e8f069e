/** Metadata ↔ JSON, for storages that keep text. */
import { AdapterConfig } from './adapter-config.js';
import { parseAdapterId } from './adapter-id.js';
import { AdapterMetadata, type AdapterVersion } from './adapter-metadata.js';
import { MERGE_STRATEGIES } from './merge-strategy.js';
import { failure, type Result, success } from './result.js';

/** Dates as ISO 8601 in UTC. */
export function encodeMetadata(metadata: AdapterMetadata): string {
  return JSON.stringify(metadata);
}

/** Fails with `Metadata is damaged: …` naming the field. */
export function decodeMetadata(text: string): Result<AdapterMetadata> {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(text);
  } catch {
    return damaged('not JSON');
  }
  if (typeof fields !== 'object' || fields === null) return damaged('not an object');
  const id = parseAdapterId(fields.id as string);
  if (!id.hasValue) return damaged('id');
  for (const key of ['taskName', 'baseModel'] as const) if (typeof fields[key] !== 'string') return damaged(key);
  const createdAt = dateOf(fields.createdAt);
  if (!createdAt) return damaged('createdAt');
  const present = decodeVersion(fields);
  if (!present) return damaged('version');
  const { config, history, parents, mergeStrategy } = fields;
  if (typeof config !== 'object' || config === null || new AdapterConfig(config).validate().isFailure) {
    return damaged('config');
  }
  if (!Array.isArray(history)) return damaged('history');
  const earlier = history.map(decodeVersion);
  if (earlier.some((version) => !version)) return damaged('history');
  if (parents !== undefined && !(Array.isArray(parents) && parents.every((each) => parseAdapterId(each).hasValue))) {
    return damaged('parents');
  }
  if (mergeStrategy !== undefined && !MERGE_STRATEGIES.includes(mergeStrategy as never))
    return damaged('mergeStrategy');
  return success(
    new AdapterMetadata({
      ...present,
      id: id.value,
      taskName: fields.taskName as string,
      baseModel: fields.baseModel as string,
      config: new AdapterConfig(config),
      createdAt,
      history: earlier as AdapterVersion[],
      ...(parents !== undefined && { parents: parents as AdapterMetadata['parents'] }),
      ...(mergeStrategy !== undefined && { mergeStrategy: mergeStrategy as AdapterMetadata['mergeStrategy'] }),
    }),
  );
}

function decodeVersion(value: unknown): AdapterVersion | undefined {
  const fields = (value ?? {}) as Record<string, unknown>;
  const { version, blobStoragePath, memoryStoragePath, trainingExampleCount, performanceScore } = fields;
  const lastTrainedAt = dateOf(fields.lastTrainedAt);
  const whole = [version, trainingExampleCount].every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
  const isText = (path: unknown) => typeof path === 'string' && path !== '';
  const isNumber = typeof performanceScore === 'number';
  if (!whole || !lastTrainedAt || !isText(blobStoragePath)) return undefined;
  if (memoryStoragePath !== undefined && !isText(memoryStoragePath)) return undefined;
  if (performanceScore !== undefined && !isNumber) return undefined;
  return {
    version: version as number,
    blobStoragePath: blobStoragePath as string,
    lastTrainedAt,
    trainingExampleCount: trainingExampleCount as number,
    ...(memoryStoragePath !== undefined && { memoryStoragePath: memoryStoragePath as string }),
    ...(performanceScore !== undefined && { performanceScore: performanceScore as number }),
  };
}

function dateOf(value: unknown): Date | undefined {
  const date = new Date(typeof value === 'string' ? value : Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function damaged(what: string): Result<AdapterMetadata> {
  return failure(`Metadata is damaged: ${what}`);
}
