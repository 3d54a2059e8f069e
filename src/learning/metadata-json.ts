/** Metadata ↔ JSON, for storages that keep text. */
import { AdapterConfig } from './adapter-config.js';
import { parseAdapterId } from './adapter-id.js';
import { AdapterMetadata, type AdapterVersion } from './adapter-metadata.js';
import { MERGE_STRATEGIES } from './merge-strategy.js';
import { failure, type Result, success } from './result.js';

type Fields = Record<string, unknown>;

/** Dates as ISO 8601 in UTC. Fails with `Metadata cannot be null`, and as decodeMetadata for what could not be read again. */
export function encodeMetadata(metadata: AdapterMetadata): Result<string> {
  if (!metadata) return failure('Metadata cannot be null');
  const text = JSON.stringify(metadata);
  return decodeMetadata(text).map(() => text);
}

/** Fails with `Metadata is damaged: …` naming the field. */
export function decodeMetadata(text: string): Result<AdapterMetadata> {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return damaged('not JSON');
  }
  if (!isObject(fields)) return damaged('not an object');
  const wrong = firstWrong(fields, IDENTITY) ?? firstWrong(fields, VERSION) ?? firstWrong(fields, ORIGIN);
  if (wrong) return damaged(wrong);
  const earlier = fields.history as Fields[];
  for (const [i, version] of earlier.entries()) {
    const wrongOfIt = firstWrong(version, VERSION);
    if (wrongOfIt) return damaged(`history[${i}].${wrongOfIt}`);
  }
  const { taskName, baseModel, config, parents, mergeStrategy } = fields as unknown as AdapterMetadata;
  return success(
    new AdapterMetadata({
      ...versionFrom(fields),
      id: parseAdapterId(fields.id as string).getOrDefault(undefined) as AdapterMetadata['id'],
      taskName,
      baseModel,
      config: new AdapterConfig(config),
      createdAt: new Date(fields.createdAt as string),
      history: earlier.map(versionFrom),
      ...(parents !== undefined && { parents }),
      ...(mergeStrategy !== undefined && { mergeStrategy }),
    }),
  );
}

type Check = (value: unknown) => boolean;
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isText: Check = (value) => typeof value === 'string';
const isId: Check = (value) => parseAdapterId(value as string).hasValue;
const isPath: Check = (value) => typeof value === 'string' && value !== '';
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isDate: Check = (value) => typeof value === 'string' && !Number.isNaN(new Date(value).getTime());
const orMissing =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const IDENTITY: Record<string, Check> = {
  id: isId,
  taskName: isText,
  baseModel: isText,
  createdAt: isDate,
  config: (value) => isObject(value) && new AdapterConfig(value).validate().isSuccess,
};
const VERSION: Record<string, Check> = {
  version: isCount,
  blobStoragePath: isPath,
  memoryStoragePath: orMissing(isPath),
  lastTrainedAt: isDate,
  trainingExampleCount: isCount,
  performanceScore: orMissing(Number.isFinite),
};
const ORIGIN: Record<string, Check> = {
  history: (value) => Array.isArray(value) && value.every(isObject),
  parents: orMissing((value) => Array.isArray(value) && value.every(isId)),
  mergeStrategy: orMissing((value) => (MERGE_STRATEGIES as readonly unknown[]).includes(value)),
};

function firstWrong(fields: Fields, checks: Record<string, Check>): string | undefined {
  return Object.keys(checks).find((name) => !checks[name](fields[name]));
}

/** Of fields that have been checked. */
function versionFrom(fields: Fields): AdapterVersion {
  const { version, blobStoragePath, memoryStoragePath, trainingExampleCount, performanceScore } =
    fields as unknown as AdapterVersion;
  return {
    version,
    blobStoragePath,
    lastTrainedAt: new Date(fields.lastTrainedAt as string),
    trainingExampleCount,
    ...(memoryStoragePath !== undefined && { memoryStoragePath }),
    ...(performanceScore !== undefined && { performanceScore }),
  };
}

function damaged(what: string): Result<never> {
  return failure(`Metadata is damaged: ${what}`);
}
