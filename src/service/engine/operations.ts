/**
 * What the learning engine service can do, for whoever asks: routes, command line and dashboard know nothing else of it.
 * Names are those of TypeScript here; the routes write them with underscores.
 */

import type { FeedbackInput } from '../feedback/feedback.js';
import type { AppendedFeedback, FeedbackCounts, FeedbackPage, FeedbackWindow } from '../feedback/feedback-store.js';
import type { Diagnostics } from '../feedback/training-examples.js';
import type { GoldenThresholds } from '../golden/comparison.js';
import type { GoldenReport } from '../golden/gate.js';
import type { Job, JobListOptions, JobPage, JobState, Json } from '../jobs/job.js';
import type { ScheduleStatus } from '../scheduler/scheduler.js';

/** Who asks; goes into audit trails. */
export interface Caller {
  name: string;
}

/** What may be said otherwise than the configuration about one run of training. */
export interface GoldenOverrides {
  goldenValidationEnabled?: boolean;
  /** true also means enabled. */
  goldenValidationRequired?: boolean;
  goldenSuitePath?: string;
  goldenBaselineOutputPath?: string;
  goldenThresholds?: { readonly [name in keyof GoldenThresholds]?: number | null };
}

export interface TrainRequest extends GoldenOverrides {
  /** Default training.days. */
  days?: number;
  /** 100 to 1000, or 0 for none. Default ewc.lambda. */
  ewcLambda?: number;
  /** Also with fewer samples than training.minimumSamples. Default false. */
  force?: boolean;
  /** Kept in the provenance of the version. Default 'manual'. */
  triggerSource?: string;
  auditContext?: { readonly [name: string]: Json };
  /** Default feedback_<days>d_<job>. */
  datasetId?: string;
  author?: string;
  validationMetrics?: Readonly<Record<string, number>>;
  /** Of a request that may be repeated: makes no second job. */
  idempotencyKey?: string;
}

export interface TrainFileRequest extends GoldenOverrides {
  /** Below one of service.allowedFolders. */
  datasetPath: string;
  learningRate?: number;
  epochs?: number;
  batchSize?: number;
  ewcLambda?: number;
  force?: boolean;
  idempotencyKey?: string;
}

export interface FisherRequest {
  /** A version or an alias. Default: the active one. */
  adapterVersion?: string;
  /** Default ewc.fisherSamples. */
  numSamples?: number;
  idempotencyKey?: string;
}

export interface GoldenRequest {
  /** Default golden.suite. */
  suitePath?: string;
  /** A version or an alias, which answers now. Either this or candidateOutputPath. */
  adapterVersion?: string;
  /** A file of answers. */
  candidateOutputPath?: string;
  /** Default golden.baseline, else what the active version answers now. */
  baselineOutputPath?: string;
  thresholds?: { readonly [name in keyof GoldenThresholds]?: number | null };
}

/** The kinds of jobs, which stand in `payload.kind` with the request and the caller. */
export const JOB_KINDS = ['train', 'train-jsonl', 'fisher', 'validate'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** Progress of a job. */
export interface JobProgress {
  phase: 'load' | 'fisher' | 'train' | 'validate' | 'publish';
  /** Of the phase. */
  done: number;
  total: number;
  /** While training: of the last step. */
  loss?: number;
  /** (λ/2)ΣF(θ−θ*)² */
  ewcLoss?: number;
  gradNorm?: number;
  tokensPerSecond?: number;
  /** The steps so far, thinned out to at most 500 points, for curves. */
  curve?: { step: number[]; loss: number[]; ewcLoss: number[] };
}

/** Result of a job of training. */
export interface TrainingResult {
  status: 'success' | 'skipped';
  /** Why skipped, or not approved. */
  reason?: string;
  /** Published; it is approved if the gate said so, and never active by that alone. */
  version?: string;
  approved?: boolean;
  /** Whether it was activated as well, where training.deploy wants that. */
  deployed?: boolean;
  /** That it was trained from; null: a new adapter. */
  startVersion?: string | null;
  /** What else is worth knowing: why a new adapter, no EWC, not deployed. */
  notes?: string[];
  datasetId: string;
  datasetSize: number;
  diagnostics?: Diagnostics;
  decision: { force: boolean; enoughSamples: boolean; train: boolean; minimumSamples: number };
  initialLoss?: number;
  finalLoss?: number;
  ewcLoss?: number;
  /** λ that was trained with; 0: none. */
  ewcLambda?: number;
  /**
   * Where the importance that EWC holds on to is from: computed from earlier feedback in this run; calculated by a job of
   * /fisher/calculate, whose version it is then; carried by the version that it was trained from; none.
   */
  importance?: {
    source: 'computed' | 'calculated' | 'carried' | 'none';
    samples?: number;
    fisherVersion?: string;
  };
  steps?: number;
  durationSeconds: number;
  golden?: GoldenReport;
}

/** The result, where there is one. */
export interface LastRun extends Partial<Omit<TrainingResult, 'status'>> {
  jobId: string;
  status: TrainingResult['status'] | 'failed' | 'cancelled';
  finishedAt: string;
  error?: string;
}

/** Result of a job of /fisher/calculate. */
export interface FisherResult {
  status: 'success' | 'skipped';
  /** Why skipped. */
  reason?: string;
  /** That it is the importance of. */
  adapterVersion: string;
  /** That keeps it, of the adapter `<lora.project>/fisher`. */
  fisherVersion?: string;
  numSamples: number;
  numParameters: number;
  durationSeconds: number;
}

export interface TrainingStatus {
  isTraining: boolean;
  currentJob: Job | undefined;
  lastJob: Job | undefined;
  /** Of the last job of training that ended, also where it failed or was cancelled. */
  lastRun: LastRun | undefined;
  queue: Record<JobState, number>;
  schedules: ScheduleStatus[];
}

export interface AdapterSummary {
  version: string;
  createdAt: string;
  approved: boolean;
  quarantined: boolean;
  /** Such as active, previous, known-good. */
  aliases: string[];
  author: string | null;
  sizeBytes: number;
  metrics: Readonly<Record<string, number>>;
}

export interface AdapterDetails extends AdapterSummary {
  parents: readonly { adapter: string; version: string }[];
  baseModel: { name: string; sha256: string } | null;
  files: readonly { name: string; sizeBytes: number; sha256: string }[];
  /** Provenance: data, model, settings, environment, and the report of the gate. */
  training: { readonly [name: string]: Json };
  libraryVersion: string;
}

/** Where something is served, as asked of it. */
export interface ServingReport {
  target: string;
  /** null: the base model. */
  version: string | null;
  settled: boolean;
  error?: string;
}

export interface LoraChange {
  at: string;
  operation: string;
  version: string | null;
  fromVersion: string | null;
  actor: string | null;
  reason: string | null;
  override: boolean;
}

export interface LoraStatus {
  /** false: the kill switch is on, or lora.enabled is false. */
  enabled: boolean;
  active: string | null;
  previous: string | null;
  knownGood: string | null;
  quarantined: string[];
  /** How many there are. */
  versionCount: number;
  /** Changes so far; of use for `expect`. */
  sequence: number;
  serving: ServingReport[];
  /** The newest 100, newest first. */
  history: LoraChange[];
}

export interface LoraRequest {
  adapterVersion?: string;
  /** Default manual_operation (manual_deploy for deploy). */
  reason?: string;
  /** Also an unapproved version; needs a reason. */
  override?: boolean;
  /** What the caller believes to be active (of promote: to be known-good), null for nothing; else ERR_VERSION_CONFLICT. */
  expect?: string | null;
}

export interface QuarantineRequest {
  /** A version or an alias. */
  adapterVersion: string;
  reason: string;
}

/** What an activation, a rollback, or the kill switch has led to. Replicas that could not be reached are in `serving`. */
export interface LoraResult {
  status: LoraStatus;
  fromVersion: string | null;
  toVersion: string | null;
  durationMs: number;
  /** serving.timeoutSeconds in ms, and whether every replica was there by then. */
  targetMs: number;
  withinTarget: boolean;
}

export interface GenerateRequest {
  prompt: string | readonly { role: string; content: string }[];
  maxNewTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  stop?: readonly string[];
  seed?: number;
}

export interface GenerateAnswer {
  text: string;
  /** That answered; null: the base model. */
  version: string | null;
  finishReason: 'stop' | 'length';
  promptTokens: number;
  completionTokens: number;
}

export interface ComponentHealth {
  /** ok; degraded: works with something missing; down: does not work; off: is not used here. */
  status: 'ok' | 'degraded' | 'down' | 'off';
  detail: string;
  ms: number;
}

export interface Health {
  /** healthy: every component is ok or off; unhealthy: one that serving or feedback needs is down; else degraded. */
  status: 'healthy' | 'degraded' | 'unhealthy';
  version: string;
  uptimeSeconds: number;
  /** model, feedback, storage, jobs, worker, scheduler, serving. */
  components: Record<string, ComponentHealth>;
}

/** One HTTP request that was answered. */
export interface RequestEnd {
  method: string;
  /** As it was declared, such as /jobs/:id; undefined where no route fits. Never a path as it was asked for. */
  route: string | undefined;
  status: number;
  durationMs: number;
}

export interface Overview {
  model: { name: string; sha256: string; parameters: number; backend: string; device: string; reason: string } | null;
  memory: { rssBytes: number; heapUsedBytes: number };
  /** Of the last 7 days. */
  feedback: FeedbackCounts;
}

/**
 * All methods reject with ERR_INVALID_ARGUMENT or ERR_INVALID_CONFIG for arguments, ERR_PATH_NOT_ALLOWED for paths outside
 * service.allowedFolders, ERR_CLOSED once it is closed, and the errors of the stores; beside the codes that they name.
 */
export interface LearningService {
  health(): Promise<Health>;
  overview(): Promise<Overview>;

  train(request: TrainRequest, caller: Caller): Promise<Job>;
  /** The file must be there: ERR_FILE_ACCESS. What is wrong in its lines shows when the job runs. */
  trainFile(request: TrainFileRequest, caller: Caller): Promise<Job>;
  /** Rejects with ERR_VERSION_NOT_FOUND. */
  calculateFisher(request: FisherRequest, caller: Caller): Promise<Job>;
  /** Answers when it is done. Rejects with ERR_VERSION_NOT_FOUND, ERR_FILE_ACCESS, ERR_FORMAT_CORRUPT. */
  validate(request: GoldenRequest, options?: { signal?: AbortSignal }): Promise<GoldenReport>;
  trainingStatus(): Promise<TrainingStatus>;

  jobs(options?: JobListOptions): Promise<JobPage>;
  /** Rejects with ERR_JOB_NOT_FOUND. */
  job(id: string): Promise<Job>;
  /** Rejects with ERR_JOB_NOT_FOUND, ERR_INVALID_STATE. */
  cancelJob(id: string): Promise<Job>;

  /** Newest first. */
  adapters(): Promise<AdapterSummary[]>;
  /** By version or alias. Rejects with ERR_VERSION_NOT_FOUND. */
  adapter(version: string): Promise<AdapterDetails>;

  loraStatus(): Promise<LoraStatus>;
  /**
   * Makes the version active, and resolves when it is served. Rejects with ERR_VERSION_NOT_FOUND, ERR_VERSION_UNAPPROVED,
   * ERR_VERSION_QUARANTINED, ERR_VERSION_CONFLICT, ERR_ADAPTER_DISABLED, and ERR_SERVING_… if the serving side refuses it, the
   * store then saying again what it said before.
   */
  activate(request: LoraRequest & { adapterVersion: string }, caller: Caller): Promise<LoraResult>;
  /** Lifts the kill switch by activating this version; rejects as activate(). */
  enable(request: LoraRequest & { adapterVersion: string }, caller: Caller): Promise<LoraResult>;
  /**
   * The kill switch. Resolves when the base model is what answers; the store says so even where serving cannot be reached.
   * With an adapterVersion or `expect` it rejects with ERR_VERSION_CONFLICT where something else is active.
   */
  disable(request: LoraRequest, caller: Caller): Promise<LoraResult>;
  /** To adapterVersion, else known-good, else previous. Rejects with ERR_NO_ROLLBACK_TARGET, and as activate(). */
  rollback(request: LoraRequest, caller: Caller): Promise<LoraResult>;
  /** known-good := the version. */
  promote(request: LoraRequest & { adapterVersion: string }, caller: Caller): Promise<LoraStatus>;
  /** Keeps a version from being served. Rejects with ERR_VERSION_NOT_FOUND, ERR_VERSION_IN_USE for the active one. */
  quarantine(request: QuarantineRequest, caller: Caller): Promise<LoraStatus>;
  /** Takes a version out of quarantine; it is not approved then. Rejects with ERR_VERSION_NOT_FOUND. */
  release(request: QuarantineRequest, caller: Caller): Promise<LoraStatus>;

  /** Resolves when the rows are durable. */
  appendFeedback(rows: readonly FeedbackInput[]): Promise<AppendedFeedback>;
  /** GET /feedback/count?since=&until= */
  countFeedback(window: FeedbackWindow): Promise<FeedbackCounts>;
  /** As FeedbackStore.page: GET /feedback?since=&until=&limit=&after= answers { feedback: [rows], next }. */
  feedback(window: FeedbackWindow, options: { limit: number; after?: string }): Promise<FeedbackPage>;

  /** Rejects with ERR_INVALID_STATE where another server answers (serving.driver), naming it. */
  generate(
    request: GenerateRequest,
    options?: { signal?: AbortSignal; onText?: (text: string) => void },
  ): Promise<GenerateAnswer>;

  /** Prometheus text. */
  metrics(): Promise<string>;
  /** To be called for every HTTP request, so that metrics() can count it. */
  requestFinished(request: RequestEnd): void;

  /** Ends the running job by a checkpoint, or lets it finish within service.shutdownTimeoutSeconds; then everything else. */
  close(): Promise<void>;
}
