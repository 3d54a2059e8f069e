/** What is known of an adapter beside its weights. */
import { fail } from '../checks.js';
import type { AdapterConfig } from './adapter-config.js';
import type { AdapterId } from './adapter-id.js';
import type { MergeStrategy } from './merge-strategy.js';

/** One state of an adapter that can be gone back to. */
export interface AdapterVersion {
  version: number;
  blobStoragePath: string;
  memoryStoragePath?: string;
  lastTrainedAt: Date;
  trainingExampleCount: number;
  performanceScore?: number;
}

export interface AdapterMetadataFields {
  id: AdapterId;
  taskName: string;
  config: AdapterConfig;
  /** Where the blob storage keeps its weights; another one after every training, as versions are immutable. */
  blobStoragePath: string;
  /** Where it keeps what it must not forget, for incremental updates. */
  memoryStoragePath?: string;
  createdAt: Date;
  lastTrainedAt: Date;
  /** Examples that were given to trainings, in all of them together. */
  trainingExampleCount: number;
  /** From 0 to 1, of examples held back from the last training that had any. */
  performanceScore?: number;
  /** The base model's hash: an adapter is of use to no other. */
  baseModel: string;
  /** Of the weights, from 1; what storage must find when it replaces them. */
  version: number;
  /** Earlier versions, the newest first. */
  history: readonly AdapterVersion[];
  /** What it was merged from, and how. */
  parents?: readonly AdapterId[];
  mergeStrategy?: MergeStrategy;
}

/** Immutable. */
export class AdapterMetadata implements AdapterMetadataFields {
  readonly id!: AdapterId;
  readonly taskName!: string;
  readonly config!: AdapterConfig;
  readonly blobStoragePath!: string;
  readonly memoryStoragePath?: string;
  readonly createdAt!: Date;
  readonly lastTrainedAt!: Date;
  readonly trainingExampleCount!: number;
  readonly performanceScore?: number;
  readonly baseModel!: string;
  readonly version!: number;
  readonly history!: readonly AdapterVersion[];
  readonly parents?: readonly AdapterId[];
  readonly mergeStrategy?: MergeStrategy;

  constructor(fields: AdapterMetadataFields) {
    Object.assign(this, fields);
    Object.freeze(this.history);
    Object.freeze(this.parents);
    Object.freeze(this);
  }

  /** Of a new adapter: both dates are now, nothing is trained, no score. */
  static create(
    id: AdapterId,
    taskName: string,
    config: AdapterConfig,
    blobStoragePath: string,
    baseModel: string,
  ): AdapterMetadata {
    const now = new Date();
    return new AdapterMetadata({
      id,
      taskName,
      config,
      blobStoragePath,
      createdAt: now,
      lastTrainedAt: now,
      trainingExampleCount: 0,
      baseModel,
      version: 1,
      history: [],
    });
  }

  /**
   * The next version, after a training on that many more examples; the score stays where there is no new one. The present
   * version becomes the first of the history. Throws ERR_OUT_OF_RANGE.
   */
  withTraining(
    examples: number,
    weights: { blobStoragePath: string; memoryStoragePath?: string },
    performanceScore?: number,
  ): AdapterMetadata {
    if (!Number.isSafeInteger(examples) || examples < 0) {
      fail('ERR_OUT_OF_RANGE', 'examples', examples, 'a whole number from 0 on');
    }
    return this.with({
      ...weights,
      lastTrainedAt: new Date(),
      trainingExampleCount: this.trainingExampleCount + examples,
      version: this.version + 1,
      history: [versionOf(this), ...this.history],
      ...(performanceScore !== undefined && { performanceScore }),
    });
  }

  /** The next version, which is an earlier one of the history again. */
  withVersion(earlier: AdapterVersion): AdapterMetadata {
    return this.with({
      ...earlier,
      memoryStoragePath: earlier.memoryStoragePath,
      performanceScore: earlier.performanceScore,
      version: this.version + 1,
      history: [versionOf(this), ...this.history],
    });
  }

  with(changes: Partial<AdapterMetadataFields>): AdapterMetadata {
    return new AdapterMetadata({ ...this, ...changes });
  }
}

/** The present version of an adapter. */
export function versionOf(metadata: AdapterMetadata): AdapterVersion {
  const { version, blobStoragePath, memoryStoragePath, lastTrainedAt, trainingExampleCount, performanceScore } =
    metadata;
  return {
    version,
    blobStoragePath,
    lastTrainedAt,
    trainingExampleCount,
    ...(memoryStoragePath !== undefined && { memoryStoragePath }),
    ...(performanceScore !== undefined && { performanceScore }),
  };
}
