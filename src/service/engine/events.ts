/** What happens in the service, for whoever counts it. */
import type { GoldenReport } from '../golden/gate.js';
import type {
  GenerateAnswer,
  JobKind,
  JobProgress,
  LearningService,
  LoraStatus,
  RequestEnd,
  TrainingResult,
} from './operations.js';

/** One training run that ended. */
export interface TrainingEnd {
  kind: 'train' | 'train-jsonl';
  /** `failed` has no result; cancelled and interrupted runs are none of the three. */
  status: TrainingResult['status'] | 'failed';
  result?: TrainingResult;
  ewcLambda?: number;
}

export interface FisherEnd {
  /** That the Fisher information was calculated of. */
  version: string;
  samples: number;
  parameters: number;
  /** Of the Fisher information in memory. */
  sizeBytes: number;
  durationSeconds: number;
}

export type LoraOperation = 'activate' | 'enable' | 'disable' | 'rollback' | 'promote' | 'quarantine' | 'release';

/** One operation that ended; `code` is that of the error with which it was refused or failed. */
export interface LoraEnd {
  operation: LoraOperation;
  durationMs: number;
  code?: string;
  /** Where it succeeded. */
  status?: LoraStatus;
}

/** Methods are called when something has happened; they return at once and never throw. */
export interface ServiceEvents {
  trainingStarted(kind: JobKind): void;
  trainingProgress(progress: JobProgress): void;
  trainingFinished(end: TrainingEnd): void;
  fisherFinished(end: FisherEnd): void;
  /** `version`: that was judged, where it was one. */
  validationFinished(report: GoldenReport, version?: string): void;
  loraFinished(end: LoraEnd): void;
  feedbackAppended(rows: { received: number; added: number }): void;
  generationFinished(answer: GenerateAnswer, durationMs: number): void;
  generationFailed(code: string): void;
  requestFinished(request: RequestEnd): void;
}

/** Nobody counts. */
export const silentEvents: ServiceEvents = {
  trainingStarted() {},
  trainingProgress() {},
  trainingFinished() {},
  fisherFinished() {},
  validationFinished() {},
  loraFinished() {},
  feedbackAppended() {},
  generationFinished() {},
  generationFailed() {},
  requestFinished() {},
};

/** Events with what they have come to. */
export interface ServiceMetrics extends ServiceEvents {
  /** Prometheus text; what changes without an event (jobs, active version, replicas) is asked of the service. */
  text(service: LearningService): Promise<string>;
}
