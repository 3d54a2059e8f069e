/** What the service's routes answer, as types: those of its operations with the keys of the wire. */
import type * as engine from '#lorakeet/service/engine/operations.js';
import type * as queue from '#lorakeet/service/jobs/job.js';

type SnakeCase<S> = S extends `${infer First}${infer Rest}`
  ? First extends Lowercase<First>
    ? `${First}${SnakeCase<Rest>}`
    : `_${Lowercase<First>}${SnakeCase<Rest>}`
  : S;

/** adapterVersion → adapter_version, Date → ISO 8601; keys of maps stay as they are. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer U)[]
    ? Wire<U>[]
    : T extends object
      ? { [K in keyof T as SnakeCase<K>]: Wire<T[K]> }
      : T;

type JobFields = Pick<
  queue.Job,
  'id' | 'state' | 'error' | 'createdAt' | 'startedAt' | 'finishedAt' | 'cancelRequested'
>;

export type Job = Wire<JobFields> & {
  payload: { kind: engine.JobKind } | null;
  progress?: Progress;
  result?: Partial<TrainingResult>;
};
export type JobPage = { jobs: Job[] };
export type Progress = Wire<engine.JobProgress>;
export type TrainingResult = Wire<engine.TrainingResult>;
export type TrainingStatus = Wire<Omit<engine.TrainingStatus, 'currentJob' | 'lastJob'>> & {
  current_job?: Job;
  last_job?: Job;
};
export type AdapterSummary = Wire<engine.AdapterSummary>;
export type AdapterDetails = Wire<Omit<engine.AdapterDetails, 'training'>> & { training: Record<string, unknown> };
export type FeedbackCounts = Wire<engine.Overview['feedback']>;
/** Lies in the provenance of a version as it was made. */
export type { GoldenReport } from '#lorakeet/service/golden/gate.js';
export type LoraStatus = Wire<engine.LoraStatus>;
export type LoraResult = Wire<engine.LoraResult>;
export type Health = Wire<engine.Health>;
export type Overview = Wire<engine.Overview>;
export type GenerateAnswer = Wire<engine.GenerateAnswer>;
