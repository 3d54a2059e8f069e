/** `lorakeet/service`: the parts of the learning engine service, for programs of your own. */
export { LearningClient } from './client/learning-client.js';
export { type CallOptions, type ClientOptions, ServiceAnswerError } from './client/transport.js';
export { type DescribedKey, describeConfig } from './config/describe.js';
export type { ServiceConfig } from './config/keys.js';
export type { Scope, ServiceToken } from './config/kinds.js';
export { type ConfigSource, type LoadConfigOptions, type LoadedConfig, loadConfig } from './config/load.js';
export { Secret } from './config/secret.js';
export { DASHBOARD_CONTENT_SECURITY_POLICY, type DashboardAsset, dashboardAssets } from './dashboard/assets.js';
export {
  type LearningServiceOptions,
  type LearningWorker,
  openLearningService,
  openLearningWorker,
} from './engine/learning-service.js';
export type * from './engine/operations.js';
export {
  FEEDBACK_TYPES,
  type Feedback,
  type FeedbackInput,
  type FeedbackType,
  type JsonObject,
} from './feedback/feedback.js';
export { exportFeedback, type ImportOptions, type ImportReport, importFeedback } from './feedback/feedback-files.js';
export {
  type AppendedFeedback,
  type FeedbackCounts,
  type FeedbackPage,
  type FeedbackStore,
  type FeedbackWindow,
  lastDays,
  readFeedback,
} from './feedback/feedback-store.js';
export type { JsonLinesOptions, JsonLinesSource, LineError } from './feedback/json-lines.js';
export { type PostgresFeedbackOptions, PostgresFeedbackStore } from './feedback/postgres-feedback.js';
export type { FeedbackColumns, ForeignFeedbackTable } from './feedback/postgres-table.js';
export { SqliteFeedbackStore } from './feedback/sqlite-feedback.js';
export {
  type Diagnostics,
  DROP_REASONS,
  type DropReason,
  type ExampleOptions,
  type PreparedExamples,
  prepareExamples,
} from './feedback/training-examples.js';
export { readTrainingFile } from './feedback/training-files.js';
export type { CaseResult } from './golden/case-result.js';
export {
  DEFAULT_THRESHOLDS,
  type GoldenComparison,
  type GoldenSummary,
  type GoldenThresholds,
  mergeThresholds,
} from './golden/comparison.js';
export {
  type AnswerGenerator,
  type AnswerPrompt,
  type AnswerSource,
  answersByModel,
  type GoldenReport,
  type Judgement,
  type JudgeOptions,
  judgeAdapter,
  requireApproval,
} from './golden/gate.js';
export { encodeGoldenOutputs, type GoldenOutputs, parseGoldenOutputs, readGoldenOutputs } from './golden/outputs.js';
export {
  type CaseSeverity,
  type GoldenCase,
  type GoldenPrompt,
  type GoldenSuite,
  parseGoldenSuite,
  readGoldenSuite,
} from './golden/suite.js';
export { type ValidateOptions, validate } from './golden/validate.js';
export { createHttpApp, type HttpAppOptions, type HttpConfig } from './http/app.js';
export { type ServedService, type ServeOptions, serve } from './http/serve.js';
export { type Clock, systemClock } from './jobs/clock.js';
export type {
  Claim,
  ClaimedJob,
  ClaimOptions,
  HeartbeatOptions,
  Job,
  JobListOptions,
  JobPage,
  JobQueue,
  JobRequest,
  JobState,
  Json,
  ScheduleRow,
} from './jobs/job.js';
export { PostgresJobQueue, type PostgresJobQueueOptions } from './jobs/postgres-queue.js';
export { SqliteJobQueue, type SqliteJobQueueOptions } from './jobs/sqlite-queue.js';
export { type JobContext, type JobHandler, JobWorker, type JobWorkerOptions } from './jobs/worker.js';
export { openServiceLogger, type ServiceLoggerOptions } from './logging/service-logger.js';
export { METRICS, type MetricDeclaration, type MetricName } from './metrics/declarations.js';
export { type ScheduleOptions, Scheduler, type SchedulerOptions, type ScheduleStatus } from './scheduler/scheduler.js';
export { openFeedbackStore, openJobQueue, openVersionStore, postgresSettings } from './stores.js';
