/** `lorakeet/learning`: adapters that are created, trained, used, corrected and merged; every operation gives a Result. */
export { AdapterConfig, type AdapterConfigFields } from './adapter-config.js';
export { type AdapterId, newAdapterId, parseAdapterId } from './adapter-id.js';
export { AdapterMetadata, type AdapterMetadataFields, type AdapterVersion } from './adapter-metadata.js';
export { AdapterLearningEngine } from './engine.js';
export type {
  AdapterGenerateOptions,
  EngineOptions,
  Evaluation,
  MergeAdaptersOptions,
  MergeSummary,
  OperationOptions,
  TrainingSummary,
  TrainOptions,
} from './engine-options.js';
export { FEEDBACK_TYPES, FeedbackSignal, type FeedbackType } from './feedback-signal.js';
export { FileSystemBlobStorage } from './file-blob-storage.js';
export { InMemoryBlobStorage } from './memory-blob-storage.js';
export { InMemoryAdapterStorage } from './memory-storage.js';
export { MERGE_STRATEGIES, type MergeStrategy } from './merge-strategy.js';
export type { MergeOptions } from './merging.js';
export { None, none, type Option, option, Some, some } from './option.js';
export { Failure, failure, type Result, Success, success, type Unit } from './result.js';
export type { AdapterBlobStorage, AdapterStorage, StorageOptions } from './storage.js';
export type { MemoryOptions } from './training.js';
export { TrainingConfig, type TrainingConfigFields } from './training-config.js';
export { TrainingExample } from './training-example.js';
