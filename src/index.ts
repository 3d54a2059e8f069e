export { ERROR_CODES, LorakeetError, type LorakeetErrorCode } from './errors.js';
export { alignedRows } from './kernels/aligned-rows.js';
export type { BackendName } from './kernels/contract.js';
export { consoleLogger, type Logger, silentLogger } from './logger.js';
export {
  createLoRAPersonalizationEngine,
  LoRAPersonalizationEngine,
  LoRAPersonalizationEngine as default,
} from './personalization/engine.js';
export { createAdapterFeedback, type FeedbackOptions } from './personalization/feedback.js';
export type { ResolvedConfig, ResolvedEngineConfig } from './personalization/options.js';
export { AdapterPool, createAdapterPool } from './personalization/pool.js';
export { fitPopulationPrior, type PopulationPrior } from './personalization/population-prior.js';
export { createPersonalizationService, PersonalizationService } from './personalization/service/service.js';
export type {
  PersonalizationServiceOptions,
  ServiceLearnReport,
  ServiceStats,
} from './personalization/service/types.js';
export type {
  AdapterFeedback,
  AdapterMetadata,
  AdapterPoolOptions,
  AdapterSettings,
  BackendInfo,
  ConsolidationOption,
  FeedbackBatch,
  LearningRateSchedule,
  LearnReport,
  LoRAConfig,
  OptimizerOption,
  PoolFeedback,
  PoolWarmStartOptions,
  ReasoningSettings,
  SavedUsers,
  SimilarUser,
  SnapshotOptions,
  TargetPolicy,
  UserLoRAAdapter,
  UserPreferences,
  WarmStartOptions,
  WatchEvent,
} from './personalization/types.js';
export {
  type AgentdbBankOptions,
  type AgentdbReasoningBank,
  agentdbReasoningBank,
  type Embedder,
} from './reasoning/agentdb.js';
export { type AgenticFlowBank, fromAgenticFlow } from './reasoning/agentic-flow.js';
export type { ConsolidationResult, ReasoningBankStats } from './reasoning/connection.js';
export type {
  AdaptationEpisode,
  AdaptationHints,
  AdaptationSituation,
  EpisodeInput,
  EpisodeOutput,
  FeedbackStatistics,
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
  RetrievedPattern,
} from './reasoning/contract.js';
export {
  type EmbeddedBankOptions,
  type EmbeddedBankStats,
  type PruneOptions,
  ReasoningBank,
} from './reasoning/embedded/bank.js';
export type { Skill } from './reasoning/embedded/skills.js';
export type { SimilarAdaptation } from './reasoning/episode.js';
export type { AdapterCollection, AdapterStore, StoredAdapter } from './versions/adapter-store.js';
